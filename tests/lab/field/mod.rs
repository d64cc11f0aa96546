//! What users of other tools reported from networks that nobody here built: each report is a case,
//! made anew in namespaces, with the right behaviour. `docs/field.md` lists them.

mod another_pinger;
mod classic_ports;
mod icmp_limits;
mod mpls;
mod mtu;
mod odd_answers;
mod path_end;
mod refusals;
mod tcp_syn;
mod vlan;
