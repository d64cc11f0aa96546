//! stub
use crate::{
    backend::{Filter, Opened},
    config::Config,
    error::Result,
    umem::Umem,
};
use std::sync::Arc;
/// stub
#[derive(Clone)]
pub struct Simulator;
impl Simulator {
    pub(crate) fn queues(&self, _: &str) -> Result<u32> {
        Ok(1)
    }
    pub(crate) fn open(
        &self,
        _: &Config,
        _: &[u32],
        _: &Arc<Umem>,
        _: u32,
        _: &Filter,
    ) -> Result<Opened> {
        Err(crate::FluxError::config("x", "y"))
    }
}
