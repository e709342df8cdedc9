//! `wasi:sockets/ip-name-lookup`.

use super::NetView;
use super::bindings::ip_name_lookup::{Host, HostResolveAddressStream};
use super::bindings::network::IpAddress;
use super::error::SocketResult;
use super::lookup::Lookup;
use super::network_host::NetworkHandle;
use super::sync::lock;
use super::watch::subscribe;
use std::sync::{Arc, Mutex};
use wasmtime::component::Resource;
use wasmtime_wasi_io::poll::DynPollable;

/// A lookup as the guest holds it.
pub struct LookupHandle(Arc<Mutex<Lookup>>);

impl Host for NetView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<NetworkHandle>,
        name: String,
    ) -> SocketResult<Resource<LookupHandle>> {
        self.check_network(&network)?;
        let lookup = Lookup::start(&self.network.shared, &name)?;
        Ok(self
            .table
            .push(LookupHandle(Arc::new(Mutex::new(lookup))))?)
    }
}

impl HostResolveAddressStream for NetView<'_> {
    fn resolve_next_address(
        &mut self,
        this: Resource<LookupHandle>,
    ) -> SocketResult<Option<IpAddress>> {
        let next = lock(&self.table.get(&this)?.0).next()?;
        Ok(next.map(IpAddress::from))
    }

    fn subscribe(
        &mut self,
        this: Resource<LookupHandle>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let lookup = Arc::clone(&self.table.get(&this)?.0);
        subscribe(self.table, &lookup, Lookup::poll_ready)
    }

    fn drop(&mut self, this: Resource<LookupHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
