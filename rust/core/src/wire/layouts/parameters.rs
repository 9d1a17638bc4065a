//! What is said of a header layout beside its name: its parameters, by their names.

use std::collections::BTreeMap;

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A field's number, an index, a size.
    Number(u64),
    /// A key, a type's name.
    Text(String),
}

/// Parameters that a layout takes one by one; what is left over is a mistake.
#[derive(Clone, Debug, Default)]
pub struct Parameters(BTreeMap<String, Parameter>);

impl Parameters {
    /// The parameter with this name; an error text if it is not there.
    pub fn take(&mut self, name: &str) -> Result<Parameter, String> {
        self.0
            .remove(name)
            .ok_or_else(|| format!("the parameter {name} is missing"))
    }

    /// The number with this name; an error text if it is not there, is none or does not fit.
    pub fn number<T: TryFrom<u64>>(&mut self, name: &str) -> Result<T, String> {
        match self.take(name)? {
            Parameter::Number(number) => {
                T::try_from(number).map_err(|_| format!("the parameter {name} is too large: {number}"))
            }
            Parameter::Text(text) => Err(format!("the parameter {name} is a number, not {text:?}")),
        }
    }

    /// The text with this name, or what it is without; an error text if it is a number.
    pub fn text_or(&mut self, name: &str, without: &str) -> Result<String, String> {
        match self.0.remove(name) {
            None => Ok(without.into()),
            Some(Parameter::Text(text)) => Ok(text),
            Some(Parameter::Number(number)) => Err(format!("the parameter {name} is a text, not {number}")),
        }
    }

    /// An error text if a parameter was not taken.
    pub fn finish(self) -> Result<(), String> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("there is no parameter {name}")),
        }
    }
}

impl From<u64> for Parameter {
    fn from(number: u64) -> Self {
        Parameter::Number(number)
    }
}

impl From<&str> for Parameter {
    fn from(text: &str) -> Self {
        Parameter::Text(text.into())
    }
}

impl<V: Into<Parameter>, const N: usize> From<[(&str, V); N]> for Parameters {
    fn from(parameters: [(&str, V); N]) -> Self {
        let named = parameters
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Parameters(named.collect())
    }
}

impl From<BTreeMap<String, Parameter>> for Parameters {
    fn from(parameters: BTreeMap<String, Parameter>) -> Self {
        Parameters(parameters)
    }
}
