//! `wasi:sockets/network` and `wasi:sockets/instance-network`.

use super::NetView;
use super::bindings::instance_network;
use super::bindings::network::{ErrorCode, Host, HostNetwork};
use super::error::{SocketError, SocketResult, code_of};
use std::io;
use wasmtime::component::Resource;

/// The network as the guest holds it. There is one; what may be done is asked of the policy, per call.
pub struct NetworkHandle;

impl Host for NetView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        match error {
            SocketError::Code(code) => Ok(code),
            SocketError::Trap(why) => Err(why),
        }
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self
            .table
            .get(&error)?
            .downcast_ref::<io::Error>()
            .map(code_of))
    }
}

impl HostNetwork for NetView<'_> {
    fn drop(&mut self, network: Resource<NetworkHandle>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

impl instance_network::Host for NetView<'_> {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<NetworkHandle>> {
        Ok(self.table.push(NetworkHandle)?)
    }
}

impl NetView<'_> {
    /// A guest cannot reach the network without a handle of it.
    pub(crate) fn check_network(&self, network: &Resource<NetworkHandle>) -> SocketResult<()> {
        self.table.get(network)?;
        Ok(())
    }
}
