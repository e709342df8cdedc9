//! The host side of `wasi:sockets`, generated from the standard's own text in `runtime/wit`.

mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "pywasm:host/sockets",
        imports: { default: trappable },
        require_store_data_send: true,
        trappable_error_type: {
            "wasi:sockets/network.error-code" => crate::net::error::SocketError,
        },
        with: {
            "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:sockets/network.network": crate::net::network_host::NetworkHandle,
            "wasi:sockets/tcp.tcp-socket": crate::net::tcp_host::TcpHandle,
            "wasi:sockets/udp.udp-socket": crate::net::udp_host::UdpHandle,
            "wasi:sockets/udp.incoming-datagram-stream": crate::net::udp_host::Incoming,
            "wasi:sockets/udp.outgoing-datagram-stream": crate::net::udp_host::Outgoing,
            "wasi:sockets/ip-name-lookup.resolve-address-stream": crate::net::lookup_host::LookupHandle,
        },
    });
}

pub use generated::wasi::sockets::*;
