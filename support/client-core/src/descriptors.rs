//! Errors that mean: there is no file descriptor left.
//!
//! A process may hold only so many descriptors (256 by default on macOS, 1,024 on most Linux
//! systems), and so may the whole system. A connection attempt that hits either limit says nothing
//! about the peer. [`Pool::out_of_descriptors`](crate::pool::Pool::out_of_descriptors) therefore
//! gives something up and lets the attempt begin again, once.

use std::{fs::File, io};

use crate::{AttemptError, Error, Origin};

/// Whether an operation failed because the process (`EMFILE`) or the system (`ENFILE`) has no
/// descriptor left.
///
/// On Windows these are `WSAEMFILE` and `ERROR_TOO_MANY_OPEN_FILES`.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    #[cfg(windows)]
    const CODES: [i32; 2] = [4, 10_024];
    // The same numbers on Linux, macOS and the BSDs.
    #[cfg(not(windows))]
    const CODES: [i32; 2] = [23, 24];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// The error of opening a file, if there is no descriptor left for it at this moment.
pub(crate) fn missing_descriptor() -> Option<io::Error> {
    if cfg!(unix) { File::open("/dev/null").err().filter(is_out_of_descriptors) } else { None }
}

impl Error {
    /// No address of an origin took the connection: an [`Error::Connect`] with each attempt in its
    /// order. If one of them found no descriptor, an [`Error::Io`] instead, since the other
    /// addresses do not matter then.
    pub fn connect(origin: &Origin, attempts: Vec<AttemptError>) -> Self {
        let exhausted = attempts.iter().find(|attempt| is_exhausted(&attempt.source));
        match exhausted {
            Some(AttemptError { source, .. }) => {
                Error::Io { context: "opening a socket", source: source.clone() }
            }
            None => {
                Error::Connect { origin: origin.to_string().into(), attempts: attempts.into() }
            }
        }
    }

    /// Whether this is an [`Error::Io`] because there is no descriptor left.
    pub fn is_out_of_descriptors(&self) -> bool {
        matches!(self, Error::Io { source, .. } if is_exhausted(source))
    }
}

fn is_exhausted(source: &crate::Source) -> bool {
    source.downcast_ref().is_some_and(is_out_of_descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(code: i32) -> AttemptError {
        let address = "192.0.2.1:80".parse().unwrap();
        AttemptError::new(address, io::Error::from_raw_os_error(code))
    }

    #[cfg(unix)]
    #[test]
    fn an_attempt_without_a_descriptor_is_an_io_error_and_not_the_fault_of_the_origin() {
        let origin = Origin::of(&"http://a".parse().unwrap()).unwrap();
        // EMFILE, ENFILE beside ECONNREFUSED (Linux).
        for code in [24, 23] {
            let error = Error::connect(&origin, vec![attempt(111), attempt(code)]);
            assert!(error.is_out_of_descriptors(), "{error:?}");
        }
        let refused = Error::connect(&origin, vec![attempt(111)]);
        assert!(matches!(refused, Error::Connect { .. }) && !refused.is_out_of_descriptors());
    }

    #[cfg(unix)]
    #[test]
    fn a_lookup_without_a_descriptor_is_an_io_error() {
        let error = Error::resolve("a", io::Error::from_raw_os_error(24));
        assert!(error.is_out_of_descriptors(), "{error:?}");
        let unknown = Error::resolve("a", io::ErrorKind::NotFound.into());
        assert!(matches!(unknown, Error::Resolve { .. }));
    }
}
