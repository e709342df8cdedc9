//! Socket options: kept for the guest, and set on the host's socket as soon as there is one.

use super::bindings::network::ErrorCode;
use super::error::code_of;
use rustix::net::sockopt;
use socket2::Socket;
use std::io;
use std::time::Duration;

/// The options that the guest has set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    keep_alive: Option<bool>,
    keep_alive_idle: Option<Duration>,
    keep_alive_interval: Option<Duration>,
    keep_alive_count: Option<u32>,
    hop_limit: Option<u8>,
    receive_buffer: Option<u64>,
    send_buffer: Option<u64>,
}

/// One option with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    KeepAlive(bool),
    KeepAliveIdle(Duration),
    KeepAliveInterval(Duration),
    KeepAliveCount(u32),
    HopLimit(u8),
    ReceiveBuffer(u64),
    SendBuffer(u64),
}

/// The options of a socket: what the guest has set, else what the host's socket has, else what Linux
/// would have.
pub(crate) struct Effective<'a> {
    pub(crate) options: &'a Options,
    pub(crate) socket: Option<&'a Socket>,
}

/// What systems take at most; larger values are cut, as the standard allows.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(i16::MAX as u64);
const MAX_KEEP_ALIVE_COUNT: u32 = i8::MAX as u32;
const MAX_BUFFER: u64 = 16 << 20;

impl Options {
    /// Remembers a setting and applies it to `socket`. Zero is no valid value for any number.
    pub(crate) fn set(
        &mut self,
        setting: Setting,
        socket: Option<&Socket>,
    ) -> Result<(), ErrorCode> {
        let setting = setting.checked()?;
        if let Some(socket) = socket {
            setting.apply(socket).map_err(|e| code_of(&e))?;
        }
        match setting {
            Setting::KeepAlive(on) => self.keep_alive = Some(on),
            Setting::KeepAliveIdle(time) => self.keep_alive_idle = Some(time),
            Setting::KeepAliveInterval(time) => self.keep_alive_interval = Some(time),
            Setting::KeepAliveCount(count) => self.keep_alive_count = Some(count),
            Setting::HopLimit(hops) => self.hop_limit = Some(hops),
            Setting::ReceiveBuffer(size) => self.receive_buffer = Some(size),
            Setting::SendBuffer(size) => self.send_buffer = Some(size),
        }
        Ok(())
    }

    /// Sets all of them on a new socket. A system may refuse one; the connection works without.
    pub(crate) fn apply(&self, socket: &Socket) {
        let settings = [
            self.keep_alive.map(Setting::KeepAlive),
            self.keep_alive_idle.map(Setting::KeepAliveIdle),
            self.keep_alive_interval.map(Setting::KeepAliveInterval),
            self.keep_alive_count.map(Setting::KeepAliveCount),
            self.hop_limit.map(Setting::HopLimit),
            self.receive_buffer.map(Setting::ReceiveBuffer),
            self.send_buffer.map(Setting::SendBuffer),
        ];
        for setting in settings.into_iter().flatten() {
            let _ = setting.apply(socket);
        }
    }
}

impl Setting {
    fn checked(self) -> Result<Self, ErrorCode> {
        Ok(match self {
            Self::KeepAliveIdle(Duration::ZERO)
            | Self::KeepAliveInterval(Duration::ZERO)
            | Self::KeepAliveCount(0)
            | Self::HopLimit(0)
            | Self::ReceiveBuffer(0)
            | Self::SendBuffer(0) => return Err(ErrorCode::InvalidArgument),
            Self::KeepAlive(_) | Self::HopLimit(_) => self,
            Self::KeepAliveIdle(time) => Self::KeepAliveIdle(whole_seconds(time)),
            Self::KeepAliveInterval(time) => Self::KeepAliveInterval(whole_seconds(time)),
            Self::KeepAliveCount(count) => Self::KeepAliveCount(count.min(MAX_KEEP_ALIVE_COUNT)),
            Self::ReceiveBuffer(size) => Self::ReceiveBuffer(size.min(MAX_BUFFER)),
            Self::SendBuffer(size) => Self::SendBuffer(size.min(MAX_BUFFER)),
        })
    }

    fn apply(self, socket: &Socket) -> io::Result<()> {
        let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        match self {
            Self::KeepAlive(on) => socket.set_keepalive(on),
            // Not with `set_tcp_keepalive`, which turns keep-alive on as well.
            Self::KeepAliveIdle(time) => Ok(sockopt::set_tcp_keepidle(socket, time)?),
            Self::KeepAliveInterval(time) => Ok(sockopt::set_tcp_keepintvl(socket, time)?),
            Self::KeepAliveCount(count) => Ok(sockopt::set_tcp_keepcnt(socket, count)?),
            Self::HopLimit(hops) if is_ipv6(socket) => socket.set_unicast_hops_v6(hops.into()),
            Self::HopLimit(hops) => socket.set_ttl_v4(hops.into()),
            Self::ReceiveBuffer(bytes) => socket.set_recv_buffer_size(size(bytes)),
            Self::SendBuffer(bytes) => socket.set_send_buffer_size(size(bytes)),
        }
    }
}

impl Effective<'_> {
    pub(crate) fn keep_alive(&self) -> bool {
        self.value(self.options.keep_alive, Socket::keepalive, false)
    }

    pub(crate) fn keep_alive_idle(&self) -> Duration {
        let default = Duration::from_secs(7200);
        self.value(
            self.options.keep_alive_idle,
            Socket::tcp_keepalive_time,
            default,
        )
    }

    pub(crate) fn keep_alive_interval(&self) -> Duration {
        let default = Duration::from_secs(75);
        self.value(
            self.options.keep_alive_interval,
            Socket::tcp_keepalive_interval,
            default,
        )
    }

    pub(crate) fn keep_alive_count(&self) -> u32 {
        self.value(
            self.options.keep_alive_count,
            Socket::tcp_keepalive_retries,
            9,
        )
    }

    pub(crate) fn hop_limit(&self) -> u8 {
        let read = |socket: &Socket| {
            let hops = if is_ipv6(socket) {
                socket.unicast_hops_v6()
            } else {
                socket.ttl_v4()
            }?;
            Ok(u8::try_from(hops).unwrap_or(u8::MAX))
        };
        self.value(self.options.hop_limit, read, 64)
    }

    pub(crate) fn receive_buffer(&self) -> u64 {
        let read = |socket: &Socket| socket.recv_buffer_size().map(|size| size as u64);
        self.value(self.options.receive_buffer, read, 128 << 10)
    }

    pub(crate) fn send_buffer(&self) -> u64 {
        let read = |socket: &Socket| socket.send_buffer_size().map(|size| size as u64);
        self.value(self.options.send_buffer, read, 16 << 10)
    }

    fn value<T>(&self, set: Option<T>, read: impl Fn(&Socket) -> io::Result<T>, default: T) -> T {
        set.or_else(|| read(self.socket?).ok()).unwrap_or(default)
    }
}

fn is_ipv6(socket: &Socket) -> bool {
    socket.local_addr().is_ok_and(|address| address.is_ipv6())
}

/// Rounded up to what the option counts in.
fn whole_seconds(time: Duration) -> Duration {
    let up = Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0));
    up.min(MAX_KEEP_ALIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_kept_and_reach_the_socket() {
        let mut options = Options::default();
        let seconds = Duration::from_secs;
        assert_eq!(
            options.set(Setting::HopLimit(0), None),
            Err(ErrorCode::InvalidArgument)
        );
        options
            .set(Setting::KeepAlive(true), None)
            .expect("a valid setting");
        options
            .set(Setting::KeepAliveIdle(Duration::from_millis(1500)), None)
            .expect("a valid setting");
        options
            .set(Setting::KeepAliveInterval(seconds(u64::MAX)), None)
            .expect("cut, not refused");
        let alone = Effective {
            options: &options,
            socket: None,
        };
        assert_eq!(
            (alone.keep_alive(), alone.keep_alive_idle()),
            (true, seconds(2))
        );
        assert_eq!((alone.keep_alive_count(), alone.hop_limit()), (9, 64));

        let socket =
            Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        options.apply(&socket);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), seconds(2));
        options
            .set(Setting::HopLimit(9), Some(&socket))
            .expect("a valid setting");
        assert_eq!(socket.ttl_v4().expect("an option"), 9);
        let both = Effective {
            options: &options,
            socket: Some(&socket),
        };
        assert_eq!(
            (both.hop_limit(), both.keep_alive_interval()),
            (9, MAX_KEEP_ALIVE)
        );
        assert_eq!(
            both.send_buffer(),
            socket.send_buffer_size().expect("an option") as u64
        );
    }
}
