//! Calls out: a request goes into the send queue and its call into the table, with its deadline.

use std::sync::atomic::Ordering::Relaxed;

use protosocket_core::rpc::client::Call;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::{ClientConnection, check_timeout};
use crate::errors;
use crate::guarded::Held;

/// A call whose request is in the send queue.
struct Queued {
    handle: u64,
    is_urgent: bool,
}

impl ClientConnection {
    #[inline]
    pub(super) fn start(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        call: Call<Held<PyAny>>,
        timeout: Option<f64>,
        clock: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        slf.as_super().get().require_home(slf.py())?;
        match Self::queue(slf, request, call, timeout)? {
            Some(queued) => {
                Self::dispatch(slf, &queued, timeout, || Ok(clock.clone())).map(|()| queued.handle)
            }
            None => Ok(0),
        }
    }

    /// Sends the request of a call that waits with `waiter` and hears of its handle through `sent` before anything can
    /// answer it. False if the connection is closed, its send queue full, or another call waits for room in it.
    #[inline]
    pub fn start_unary<'py>(
        slf: &Bound<'py, Self>,
        request: &Bound<'_, PyAny>,
        waiter: Py<PyAny>,
        timeout: Option<f64>,
        sent: impl FnOnce(u64),
        clock: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        if slf.get().calls.borrow(slf.py()).client.has_queue() {
            return Ok(false);
        }
        match Self::queue(slf, request, Call::unary(waiter.into()), timeout)? {
            Some(queued) => {
                sent(queued.handle);
                Self::dispatch(slf, &queued, timeout, clock).map(|()| true)
            }
            None => Ok(false),
        }
    }

    /// Appends a request to the send queue and its call to the table; None if there is no connection or no room.
    #[inline]
    fn queue(
        slf: &Bound<'_, Self>,
        request: &Bound<'_, PyAny>,
        call: Call<Held<PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Queued>> {
        let py = slf.py();
        let this = slf.get();
        let connection = slf.as_super().get();
        check_timeout(py, timeout)?;
        // Room is looked for first: a request that must wait is encoded when it is its turn.
        {
            let state = connection.state(py);
            if state.closed || !state.has_room() {
                return Ok(None);
            }
        }
        let codec = this.codec.get();
        let encoded = codec.encode(request)?;
        let mut calls = this.calls.borrow(py);
        let mut state = connection.state(py);
        if state.closed {
            return Ok(None);
        }
        let header = calls.client.request();
        if let Err(malformed) = state.append(py, &this.send.layout, codec.framing, encoded.as_bytes(), header)
        {
            // Outside the borrows: making an error runs Python code.
            drop((calls, state));
            return Err(errors::encode(py, request, PyValueError::new_err(malformed.0)));
        }
        let handle = calls.client.started(header, call);
        let in_flight = calls.client.len() + this.taken.load(Relaxed);
        state.policy.observe(in_flight);
        let due = state.wrote();
        Ok(Some(Queued {
            handle,
            // A call that is alone gains nothing by waiting for others.
            is_urgent: due || in_flight == 1,
        }))
    }

    /// Sets the deadline of a call that was queued, and writes it now or at the end of the tick.
    #[inline]
    fn dispatch<'py>(
        slf: &Bound<'py, Self>,
        queued: &Queued,
        timeout: Option<f64>,
        clock: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let set = match timeout {
            Some(timeout) => {
                clock().and_then(|clock| Self::set_deadline(slf, queued.handle, timeout, &clock))
            }
            None => Ok(()),
        };
        let flushed = set.and_then(|()| {
            if queued.is_urgent {
                connection.flush(py)
            } else {
                connection.flush_soon(py)
            }
        });
        if flushed.is_err() {
            // The caller hears of it in this way, so nobody waits for the answer.
            drop(slf.get().forget(py, queued.handle));
        }
        flushed
    }

    fn set_deadline(
        slf: &Bound<'_, Self>,
        handle: u64,
        timeout: f64,
        clock: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let now: f64 = clock.call_method0(intern!(py, "time"))?.extract()?;
        let when = now + timeout;
        let set = {
            let mut calls = slf.get().calls.borrow(py);
            let earliest = calls.client.set_deadline(handle, when);
            earliest && calls.timer.as_ref().is_none_or(|(set, _)| when < *set)
        };
        if set {
            Self::set_timer(slf, when, clock)
        } else {
            Ok(())
        }
    }

    fn set_timer(slf: &Bound<'_, Self>, when: f64, clock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let tick = slf.getattr(intern!(py, "_tick"))?;
        let timer = clock
            .call_method1(intern!(py, "call_at"), (when, tick, clock))?
            .unbind();
        let old = slf.get().calls.borrow(py).timer.replace((when, timer.into()));
        if let Some((_, old)) = old {
            old.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// The timer's callback: ends the calls whose time has passed and sets the next timer.
    pub(super) fn tick(slf: &Bound<'_, Self>, clock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let now: f64 = clock.call_method0(intern!(py, "time"))?.extract()?;
        let before = slf.get().calls.borrow(py).timer.take();
        drop(before);
        loop {
            let expired = slf.get().calls.borrow(py).client.expire(now);
            let Some((header, waiter)) = expired else { break };
            let waiter = waiter.free();
            Self::send_empty(slf, header)?;
            slf.call_method1(intern!(py, "_call_expired"), (waiter,))?;
        }
        let next = slf.get().calls.borrow(py).client.next_deadline();
        match next {
            Some(when) => Self::set_timer(slf, when, clock),
            None => Ok(()),
        }
    }
}
