//! The command line of a peer: `serve ENCODING [CERTIFICATE KEY]`, `client ENCODING URL`, or `decode`.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{client, driver, feed, server};

/// How messages are written.
#[derive(Clone, Copy)]
pub enum Encoding {
    /// `protosocket-prost`.
    Protobuf,
    /// `protosocket-messagepack`.
    MessagePack,
}

impl Encoding {
    fn parse(name: &str) -> Result<Self, Box<dyn Error>> {
        match name {
            "protobuf" => Ok(Self::Protobuf),
            "messagepack" => Ok(Self::MessagePack),
            _ => Err(format!("an encoding is protobuf or messagepack, not {name}").into()),
        }
    }
}

/// Does what the command line says.
pub fn main() -> Result<(), Box<dyn Error>> {
    // Another member of the workspace may bring a second provider; then rustls does not choose by itself.
    let _ = aws_lc_rs::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", encoding, tls @ ..] => {
            let tls = match tls {
                [] => None,
                [certificate, key] => Some(server_tls(certificate.as_ref(), key.as_ref())?),
                _ => return Err("TLS wants a certificate and a key".into()),
            };
            let encoding = Encoding::parse(encoding)?;
            // The crates' listeners cannot tell the port they were given, so one is chosen first.
            let address = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let scheme = if tls.is_some() { "tls" } else { "tcp" };
            let listening = || println!("listening on {scheme}://{address}");
            runtime()?.block_on(server::serve(address, encoding, tls, listening))
        }
        ["client", encoding, url] => {
            let encoding = Encoding::parse(encoding)?;
            let (scheme, address) = url.split_once("://").ok_or("a URL is tcp:// or tls://")?;
            let address: SocketAddr = address.parse()?;
            LocalSet::new().block_on(&runtime()?, async {
                driver::run(client::connect(address, encoding, scheme == "tls").await?).await
            })
        }
        ["decode"] => feed::run(),
        _ => Err("say serve ENCODING [CERTIFICATE KEY], client ENCODING URL, or decode".into()),
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn server_tls(certificate: &Path, key: &Path) -> Result<ServerConfig, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    Ok(ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}
