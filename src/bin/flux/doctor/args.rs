//! The arguments of `flux doctor`.

use crate::socket_options::sim_spec;
use fluxnet::FluxError;
use fluxnet::tools::doctor::Plan;

/// What the simulated machine is examined for. No time passes, and no packet crosses its link.
const SIM_KEYS: [&str; 6] = ["queues", "tx-queues", "zerocopy", "mtu", "file", "short_ring"];

const EXAMPLES: &str = "\
Examples:
  flux doctor                  the machine, and a line for each interface
  flux doctor eth0             the machine, and all about eth0
  flux doctor eth0 --no-attach without attaching a program for a moment
  flux doctor --json eth0      the same for programs
  flux doctor --sim            the simulated machine

Exit status:
  0  AF_XDP works
  1  something stands in its way
  2  could not run, or not to its end (usage, permission, system, interface gone)";

/// Say whether AF_XDP can run here, how well, and what to do about it
///
/// Each line is ok, a warning (it works, but not as well as it could), or a blocker, with the
/// command that fixes it. Nothing is changed: a program that passes all packets is attached for a
/// moment in each mode, where that is allowed and no other is there, and detached again.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Interface to examine, by any of its names; without it, the machine and a line for each
    /// interface
    #[arg(value_name = "IFACE")]
    interface: Option<String>,
    /// Attach no program, not even for a moment: some NICs reset their link for it
    #[arg(long)]
    no_attach: bool,
    /// Examine the simulated machine instead; needs no privilege
    ///
    /// SPEC is a list such as queues=4,zerocopy=no. It takes the keys that a NIC and
    /// its driver show: queues, tx-queues, zerocopy, mtu, file and short_ring.
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    sim: Option<String>,
    /// One JSON object on standard output, also for errors
    #[arg(short, long, help_heading = "Output")]
    pub json: bool,
}

impl Args {
    /// What is to be examined.
    pub fn plan(&self) -> Result<Plan, FluxError> {
        Ok(Plan {
            interface: self.interface.clone(),
            attach: !self.no_attach,
            sim: self.sim.as_deref().map(|text| sim_spec("doctor", text, &SIM_KEYS)).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket_options::parsed;

    fn plan(line: &str) -> Result<Plan, String> {
        let args: Args = parsed(std::iter::once("doctor").chain(line.split_whitespace()))?;
        args.plan().map_err(|e| e.to_string())
    }

    #[test]
    fn arguments_become_a_plan() {
        let all = plan("").unwrap();
        assert!(all.interface.is_none() && all.attach && all.sim.is_none());
        let one = plan("eth0 --no-attach").unwrap();
        assert_eq!((one.interface.as_deref(), one.attach), (Some("eth0"), false));
        assert_eq!(plan("--sim=queues=4 sim0").unwrap().sim.unwrap().spec.queues, 4);
        assert!(plan("--sim=queue=4").is_err_and(|error| error.contains("queue")));
        assert!(plan("--sim=loss=10%").is_err_and(|error| error.contains("no use for it")));
        let listed = SIM_KEYS.join(", ");
        let help = crate::help::SIM.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&format!("flux doctor takes {listed}.")), "{listed}");
        assert!(plan("eth0 eth1").is_err_and(|error| error.contains("eth1")));
    }
}
