//! What a socket call answers when it fails: an error code for the guest, or a trap.

use super::bindings::network::ErrorCode;
use rustix::io::Errno;
use std::io;
use wasmtime::component::ResourceTableError;

/// A failed socket call.
#[derive(Debug)]
pub enum SocketError {
    /// The guest gets this code.
    Code(ErrorCode),
    /// The guest broke the rules of its handles and ends.
    Trap(wasmtime::Error),
}

pub(crate) type SocketResult<T> = Result<T, SocketError>;

impl SocketError {
    pub(crate) fn trap(why: &'static str) -> Self {
        Self::Trap(wasmtime::Error::msg(why))
    }
}

impl From<ErrorCode> for SocketError {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        Self::Code(code_of(&error))
    }
}

impl From<ResourceTableError> for SocketError {
    fn from(error: ResourceTableError) -> Self {
        match error {
            // Only the guest's own handles fill the table, so it is told as it would be by a kernel.
            ResourceTableError::Full => Self::Code(ErrorCode::NewSocketLimit),
            other => Self::Trap(other.into()),
        }
    }
}

/// The code that stands for a system error of the host.
pub(crate) fn code_of(error: &io::Error) -> ErrorCode {
    // Our own refusals have no number.
    if error.kind() == io::ErrorKind::WouldBlock {
        return ErrorCode::WouldBlock;
    }
    let Some(errno) = Errno::from_io_error(error) else {
        return ErrorCode::Unknown;
    };
    match errno {
        Errno::ACCESS | Errno::PERM => ErrorCode::AccessDenied,
        Errno::ADDRINUSE => ErrorCode::AddressInUse,
        Errno::ADDRNOTAVAIL => ErrorCode::AddressNotBindable,
        Errno::TIMEDOUT => ErrorCode::Timeout,
        Errno::CONNREFUSED => ErrorCode::ConnectionRefused,
        Errno::CONNRESET | Errno::PIPE => ErrorCode::ConnectionReset,
        Errno::CONNABORTED => ErrorCode::ConnectionAborted,
        Errno::INVAL => ErrorCode::InvalidArgument,
        Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NETDOWN | Errno::NETUNREACH => {
            ErrorCode::RemoteUnreachable
        }
        Errno::ISCONN | Errno::NOTCONN | Errno::DESTADDRREQ => ErrorCode::InvalidState,
        Errno::MFILE | Errno::NFILE => ErrorCode::NewSocketLimit,
        Errno::MSGSIZE => ErrorCode::DatagramTooLarge,
        Errno::NOMEM | Errno::NOBUFS => ErrorCode::OutOfMemory,
        Errno::OPNOTSUPP | Errno::NOPROTOOPT | Errno::AFNOSUPPORT => ErrorCode::NotSupported,
        _ => ErrorCode::Unknown,
    }
}
