//! What users of other tools reported from networks that nobody here built: each report is a case,
//! made anew in namespaces, with the right behaviour. `docs/field.md` lists them.

mod another_interface;
mod another_pinger;
mod capabilities;
mod classic_ports;
mod far_hosts;
mod fixes;
mod fragments;
mod icmp_limits;
mod long_names;
mod mpls;
mod mtu;
mod odd_answers;
mod path_end;
mod refusals;
mod second_run;
mod tcp_syn;
mod upper_program;
mod vlan;
