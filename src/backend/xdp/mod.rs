//! The redirect program: three things that are loaded together and live apart.
//!
//! ```text
//!                    Attachment: our link │ a foreign program's XSKMAP │ none
//!                         │
//!   packet ─▶ XDP hook ───┴─▶ bitmaps ─▶ rows ─▶ stamp ─▶ redirect ─▶ XskMap[queue] ─▶ socket
//!                                │  FilterTables  │
//!                 settings ─▶ tables[2]           └─ nothing matches: on to the kernel
//! ```
//!
//! Invariant: the program is attached exactly as long as the [`Attachment`] is there, so that the
//! interface is clean however the process ends; maps stay as long as the program or somebody who
//! holds them does. [`holder`] says who has an interface that we did not get. Any program of ours is
//! loaded by [`libbpf::load`]. Caller: `backend::kernel`.

mod attachment;
mod holder;
mod tables;
mod xsk_map;

pub(crate) use attachment::Attachment;
#[cfg(feature = "tools")]
pub(crate) use holder::in_the_way;
pub(crate) use holder::socket_on;
pub(crate) use tables::FilterTables;
pub(crate) use xsk_map::XskMap;

use crate::error::{FluxError, Op, Result};
use crate::sys::libbpf;
use crate::sys::skel::redirect::{OpenRedirectSkel, RedirectSkel, RedirectSkelBuilder};
use libbpf_rs::MapHandle;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// The redirect program, attached nowhere yet.
pub(crate) struct Loaded {
    /// What an [`Attachment`] is made of.
    pub(crate) program: OwnedFd,
    /// What it takes: nothing yet.
    pub(crate) tables: FilterTables,
    /// Where it sends that to.
    pub(crate) xsks: XskMap,
}

/// Loads the program for an interface with `queues` RX queues. With `stamp` it writes the time in
/// front of the packets that it takes.
pub(crate) fn load(interface: &str, queues: u32, stamp: bool) -> Result<Loaded> {
    let prepare = |open: &mut OpenRedirectSkel<'_>| {
        open.maps.xsks.set_max_entries(queues.max(1))?;
        open.maps.counters.set_max_entries(queues.max(1))
    };
    let keep = |skel: &RedirectSkel<'_>| {
        let maps = &skel.maps;
        let handles = [&maps.tables, &maps.settings, &maps.counters].map(MapHandle::try_from);
        let program = skel.progs.flux_redirect.as_fd().try_clone_to_owned();
        Ok((program, handles, maps.xsks.as_fd().try_clone_to_owned()))
    };
    let mut object = MaybeUninit::uninit();
    let loaded = libbpf::load(RedirectSkelBuilder::default(), &mut object, prepare, keep);
    let (program, [tables, settings, counters], xsks) =
        loaded.map_err(|refused| refused.error(Op::Load, interface))?;
    let fail = |error| FluxError::os(Op::Load, interface, error);
    let failed = |error| FluxError::os(Op::Load, interface, crate::sys::bpf::errno(&error));
    let tables = tables::Maps {
        tables: tables.map_err(failed)?,
        settings: settings.map_err(failed)?,
        counters: counters.map_err(failed)?,
    };
    Ok(Loaded {
        program: program.map_err(fail)?,
        tables: FilterTables::new(tables, interface, stamp),
        xsks: XskMap::ours(xsks.map_err(fail)?, interface)?,
    })
}

#[cfg(test)]
mod tests;
