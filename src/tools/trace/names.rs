//! placeholder
use std::net::IpAddr;
pub(super) struct Names;
impl Names {
    pub(super) fn ask(&mut self, _: IpAddr) {}
    pub(super) fn get(&self, _: IpAddr) -> Option<&str> {
        None
    }
    pub(super) fn settle(&mut self) {}
}
