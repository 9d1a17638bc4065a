//! Python's numbers as those of a field, within its range.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;

/// Why an object is not the number a field wants.
pub enum Refused {
    /// It is of another type.
    Type,
    /// It is out of range.
    Range,
}

/// An `int` (or `bool`, or an `IntEnum`) from `low` to `high`.
#[inline]
pub fn signed(value: &Bound<'_, PyAny>, low: i64, high: i64) -> Result<i64, Refused> {
    let (number, overflow) = long(value)?;
    if overflow != 0 || number < low || number > high {
        return Err(Refused::Range);
    }
    Ok(number)
}

/// An `int` (or `bool`, or an `IntEnum`) from 0 to `high`.
#[inline]
pub fn unsigned(value: &Bound<'_, PyAny>, high: u64) -> Result<u64, Refused> {
    let (number, overflow) = long(value)?;
    let number = if overflow == 0 && number >= 0 {
        number as u64
    } else if overflow > 0 {
        beyond_signed(value)?
    } else {
        return Err(Refused::Range);
    };
    if number > high {
        Err(Refused::Range)
    } else {
        Ok(number)
    }
}

#[cold]
fn beyond_signed(value: &Bound<'_, PyAny>) -> Result<u64, Refused> {
    // SAFETY: `value` is an int (`long`). An error is cleared, so none is left behind.
    unsafe {
        let number = ffi::PyLong_AsUnsignedLongLong(value.as_ptr());
        if number == u64::MAX && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return Err(Refused::Range);
        }
        Ok(number)
    }
}

/// The number, and which side of 64 bits it lies on: 0 if it fits.
#[inline]
fn long(value: &Bound<'_, PyAny>) -> Result<(i64, c_int), Refused> {
    // SAFETY: the object is checked to be an int, so that the conversion neither fails nor runs Python code.
    unsafe {
        if ffi::PyLong_Check(value.as_ptr()) == 0 {
            return Err(Refused::Type);
        }
        let mut overflow = 0;
        let number = ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow);
        Ok((number, overflow))
    }
}

/// The bits of a NaN that say so, in 64 and in 32 bits, and how many more bits the longer one says what of.
const NAN: (u64, u32, u32) = (0x7ff0_0000_0000_0000, 0x7f80_0000, 29);

/// The float with these 32 bits in 64. Of a NaN all bits stay, which a processor would make quiet.
#[inline]
pub fn double(bits: u32) -> f64 {
    let float = f32::from_bits(bits);
    if float.is_nan() {
        let (nan, _, more) = NAN;
        let sign = u64::from(bits >> 31) << 63;
        return f64::from_bits(sign | nan | u64::from(bits & 0x007f_ffff) << more);
    }
    f64::from(float)
}

/// The 32 bits of the float next to `number`; of a NaN those that there is room for.
#[inline]
pub fn single(number: f64) -> u32 {
    if number.is_nan() {
        let (_, nan, more) = NAN;
        let bits = number.to_bits();
        let content = (bits >> more) as u32 & 0x007f_ffff;
        // Without any it would be infinite.
        let content = if content == 0 { 0x0040_0000 } else { content };
        return ((bits >> 63) as u32) << 31 | nan | content;
    }
    (number as f32).to_bits()
}

/// A `float`, or an `int` that one can hold.
#[inline]
pub fn float(value: &Bound<'_, PyAny>) -> Result<f64, Refused> {
    // SAFETY: the object is checked to be a float or an int, so that nothing runs Python code; the error of
    // an int too large is cleared.
    unsafe {
        if ffi::PyFloat_Check(value.as_ptr()) != 0 {
            return Ok(ffi::PyFloat_AS_DOUBLE(value.as_ptr()));
        }
        if ffi::PyLong_Check(value.as_ptr()) == 0 {
            return Err(Refused::Type);
        }
        let number = ffi::PyLong_AsDouble(value.as_ptr());
        if number == -1.0 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return Err(Refused::Range);
        }
        Ok(number)
    }
}
