//! Facts of this machine.
//!
//! ```text
//!   machine   /proc, /sys, and two attempts: an AF_XDP socket, a program
//!   nic       netlink, ethtool, sysfs, and two more: attaching the program, in each mode
//! ```

mod machine;
mod nic;

use super::Plan;
use super::facts::{Brief, Facts, Master, Subject, Tried};
use crate::error::{FluxError, Op, Result, errno_text};
use crate::tools::host::{HostError, Interface, Nics};
use std::io;

/// Examines this machine, in the network namespace of the calling thread.
pub(super) fn facts(plan: &Plan) -> Result<Facts> {
    let failed = |error| FluxError::os(Op::Netdev, "the interfaces", error);
    let nics = Nics::open().map_err(failed)?;
    let Some(name) = &plan.interface else {
        let (machine, _) = machine::facts(1);
        let links = nics.links().map_err(failed)?;
        let briefs = links.iter().filter_map(|link| brief(&nics, link, &links)).collect();
        return Ok(Facts { machine: Some(machine), subject: Subject::All(briefs) });
    };
    match nics.link_named(name) {
        Ok(link) => {
            let queues = nics.rx_queues(&link).unwrap_or(1);
            let (machine, program) = machine::facts(queues);
            let nic = nic::facts(&nics, link, plan, program, &machine);
            Ok(Facts { machine: Some(machine), subject: Subject::One(Box::new(nic)) })
        }
        Err(error) if absent(&error) => {
            let links = nics.links().map_err(failed)?;
            let names = links.iter().map(|link| link.name.as_str());
            Err(HostError::no_interface(name, names).into())
        }
        Err(error) => Err(FluxError::os(Op::Netdev, name, error)),
    }
}

/// EINVAL: an empty name; ERANGE: one longer than the kernel takes.
fn absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EINVAL | libc::ERANGE))
}

/// Devices, veths, and what else has native XDP.
fn brief(nics: &Nics, link: &Interface, all: &[Interface]) -> Option<Brief> {
    let xdp = nic::xdp(nics, link.index).ok();
    let native = xdp.as_ref().is_some_and(|xdp| xdp.native);
    let worth = link.kind.is_empty() || link.kind == "veth" || native;
    (link.is_ethernet() && worth).then(|| Brief {
        name: link.name.clone(),
        driver: nics.driver(link),
        up: link.up,
        xdp,
        master: master(link, all),
        program: nic::program(link.index),
    })
}

/// What `link` belongs to, which is one of `all`.
fn master(link: &Interface, all: &[Interface]) -> Option<Master> {
    let master = all.iter().find(|other| Some(other.index) == link.master)?;
    Some(Master { kind: master.kind.clone(), name: master.name.clone() })
}

fn tried<T>(result: &io::Result<T>) -> Tried {
    match result {
        Ok(_) => Tried::Worked,
        Err(error) => Tried::Refused(error.raw_os_error().unwrap_or(0), errno_text(error)),
    }
}
