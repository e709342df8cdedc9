//! Plain requests, byte by byte, and what responses say.

use super::PATIENCE;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Sends bytes, half-closes nothing, and reads all until the end.
pub fn talk(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // It may be refused, and answered, before it is sent in whole.
    let _ = stream.write_all(request);
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

/// Of three digits.
pub fn status(response: &str) -> &str {
    response.get(9..12).unwrap_or(response)
}

/// The body, whichever way it was sent.
pub fn body(response: &str) -> String {
    let Some((head, mut rest)) = response.split_once("\r\n\r\n") else {
        return String::new();
    };
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_owned();
    }
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        body += &after[..length];
        rest = after.get(length + 2..).unwrap_or_default();
    }
    body
}
