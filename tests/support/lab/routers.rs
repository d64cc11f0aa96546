//! A path of routers, each a nameless network namespace of its own.
//!
//! ```text
//!   0: this thread's      1               2                     n               n + 1: target
//!   near ◀──link 0──▶ far   near ◀─1─▶ far   near ◀─ … ─▶ far     near ◀─link n─▶ far
//!        .1         .2         .1      .2                            .1           .2
//! ```
//!
//! Link k is 10.9.k.0/24 and fd09:0:0:k::/64, so the hop with TTL k answers as 10.9.(k − 1).2 and
//! the target is 10.9.n.2. A [`Chain::diamond`] at k is a second router beside k on links of its
//! own, `nearb`/`farb`, 10.9.(100 + k − 1).0/24 and 10.9.(100 + k).0/24; its neighbours spread over
//! both by addresses and ports. Nobody limits ICMP errors unless told to.

use super::{
    Turn, Wire, as_root, enter, has_what_it_takes, ip_batch, mac, new_namespace, offloads_off, run,
    set_ipv6_defaults, skip, this_namespace, wait_for_links,
};
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::{Command, Stdio};

/// Our end of the path.
pub const NEAR: &str = "near";

const EVERYTHING: (&str, &str) = ("0.0.0.0/0", "::/0");
const US: (&str, &str) = ("10.9.0.0/24", "fd09::/64");

/// How a path is to be.
#[derive(Clone, Debug)]
pub struct Chain {
    routers: u8,
    queues: u32,
    cold: bool,
    mtus: Vec<(u8, u32)>,
    diamonds: Vec<u8>,
}

/// The path. This thread is in namespace 0 until drop, with which all of them go.
pub struct Routers {
    chain: Chain,
    outside: File,
    /// One a position; where there is a diamond, two.
    spaces: Vec<Vec<File>>,
    /// Last, so that its turn ends when all else is gone.
    _turn: Turn,
}

impl Chain {
    /// So many routers between us and the target.
    pub fn of(routers: u8) -> Self {
        assert!(routers < 100, "links are numbered below 100");
        Self { routers, queues: 2, cold: false, mtus: Vec::new(), diamonds: Vec::new() }
    }

    /// Queues of our interface; 2 unless told.
    pub fn queues(mut self, queues: u32) -> Self {
        self.queues = queues;
        self
    }

    /// Nobody knows the link layer address of a neighbour.
    pub fn cold(mut self) -> Self {
        self.cold = true;
        self
    }

    /// The MTU of one link, at both ends.
    pub fn mtu(mut self, link: u8, mtu: u32) -> Self {
        self.mtus.push((link, mtu));
        self
    }

    /// A second router beside that one.
    pub fn diamond(mut self, router: u8) -> Self {
        let alone = (router - 1..=router + 1).all(|near| !self.diamonds.contains(&near));
        assert!((2..=self.routers).contains(&router) && alone, "diamonds need a router between");
        self.diamonds.push(router);
        self
    }

    fn width(&self, position: u8) -> u8 {
        1 + u8::from(self.diamonds.contains(&position))
    }

    /// The link between a position and the next: its number, and the names of its ends. Branch 1
    /// of a diamond has other names on the side where it is not alone.
    fn links(&self, near: u8) -> impl Iterator<Item = Link> + use<> {
        let (left, right) = (self.width(near), self.width(near + 1));
        (0..left.max(right)).map(move |branch| Link {
            number: near + 100 * branch,
            mac: near,
            branch,
            near: (near, if left > 1 { branch } else { 0 }),
            far: (near + 1, if right > 1 { branch } else { 0 }),
            near_name: if branch == 1 && left == 1 { "nearb" } else { NEAR },
            far_name: if branch == 1 && right == 1 { "farb" } else { "far" },
        })
    }

    /// Makes it; `None` (and a line that says SKIP) when not root.
    pub fn up(self) -> Option<Routers> {
        let turn = as_root()?;
        if !has_what_it_takes() {
            return None;
        }
        let outside = this_namespace().expect("this thread's namespace");
        let mut lab = Routers { chain: self, outside, spaces: Vec::new(), _turn: turn };
        let last = lab.chain.routers + 1;
        // Ours is made at the end, so that this thread stays in it.
        for position in (0..=last).rev() {
            let mut branches = Vec::new();
            for _ in 0..lab.chain.width(position) {
                match new_namespace() {
                    Ok(space) => branches.push(space),
                    Err(error) => {
                        skip(&format!("no new network namespace: {error}"));
                        return None;
                    }
                }
                set_sysctls();
            }
            lab.spaces.insert(0, branches);
        }
        let links: Vec<Link> = (0..last).flat_map(|near| lab.chain.links(near)).collect();
        ip_batch(&links.iter().map(|link| lab.create(*link)).collect::<String>());
        std::thread::scope(|scope| {
            let (lab, links) = (lab.shared(), &links);
            for position in 0..=last {
                for branch in 0..lab.chain.width(position) {
                    scope.spawn(move || {
                        lab.enter(position, branch);
                        ip_batch(&lab.configure(links, position, branch));
                        // Checksums in full where packets are made: nobody on the way does it.
                        match position {
                            0 => offloads_off(NEAR),
                            at if at == last => offloads_off("far"),
                            _ => (),
                        }
                        let ends = links.iter().flat_map(|link| {
                            [(link.near, link.near_name), (link.far, link.far_name)]
                        });
                        let ours = ends.filter(|(end, _)| *end == (position, branch));
                        wait_for_links(&ours.map(|(_, name)| name).collect::<Vec<_>>());
                    });
                }
            }
        });
        Some(lab)
    }
}

/// One veth pair.
#[derive(Clone, Copy)]
struct Link {
    number: u8,
    mac: u8,
    branch: u8,
    near: (u8, u8),
    far: (u8, u8),
    near_name: &'static str,
    far_name: &'static str,
}

impl Link {
    fn ips(self, end: u8) -> (Ipv4Addr, Ipv6Addr) {
        (Ipv4Addr::new(10, 9, self.number, end), ip6(self.number, end))
    }

    fn mac(self, end: u8) -> String {
        mac([2, 0, 0, self.branch, self.mac, end])
    }
}

fn ip6(link: u8, end: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd09, 0, 0, link.into(), 0, 0, 0, end.into())
}

fn set_sysctls() {
    set_ipv6_defaults();
    for (name, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // No kind of ICMP message is limited: neither by destination, nor by the 50 in 20 ms that
        // all of a kernel's namespaces share, or each has, which the answers to one trace exceed.
        ("ipv4/icmp_ratemask", "0"),
        ("ipv6/icmp/ratemask", "127"), // this one, which nobody sends
        ("ipv4/fib_multipath_hash_policy", "1"),
        ("ipv6/fib_multipath_hash_policy", "1"),
    ] {
        // Not every kernel has all of them in every namespace.
        let _ = std::fs::write(format!("/proc/sys/net/{name}"), value);
    }
}

/// What threads may see of [`Routers`].
#[derive(Clone, Copy)]
struct Shared<'a> {
    chain: &'a Chain,
    spaces: &'a [Vec<File>],
}

impl Shared<'_> {
    fn space(&self, position: u8, branch: u8) -> BorrowedFd<'_> {
        self.spaces[usize::from(position)][usize::from(branch)].as_fd()
    }

    fn enter(&self, position: u8, branch: u8) {
        enter(self.space(position, branch)).expect("a router's namespace");
    }

    /// Addresses, neighbours and routes of one namespace.
    fn configure(&self, links: &[Link], position: u8, branch: u8) -> String {
        let mut lines = String::from("link set dev lo up\n");
        let (mut onwards, mut backwards) = (Vec::new(), Vec::new());
        for link in links {
            let (end, other, name, hops) = if link.near == (position, branch) {
                (1, 2, link.near_name, &mut onwards)
            } else if link.far == (position, branch) {
                (2, 1, link.far_name, &mut backwards)
            } else {
                continue;
            };
            let mtu = self.chain.mtus.iter().find(|(of, _)| *of == link.mac).map_or(1500, |m| m.1);
            let ((ip, ip6), (their_ip, their_ip6)) = (link.ips(end), link.ips(other));
            lines += &format!(
                "link set dev {name} mtu {mtu} up\n\
                 addr add {ip}/24 dev {name}\naddr add {ip6}/64 dev {name} nodad\n"
            );
            if !self.chain.cold {
                let mac = link.mac(other);
                lines += &format!(
                    "neigh replace {their_ip} lladdr {mac} dev {name} nud permanent\n\
                     neigh replace {their_ip6} lladdr {mac} dev {name} nud permanent\n"
                );
            }
            hops.push((ip, ip6, their_ip, their_ip6, name));
        }
        // Everything is further on, except us. The source is said, so that a router has one
        // address whichever way it answers.
        let back = if onwards.is_empty() { EVERYTHING } else { US };
        let back = Some(back).filter(|_| position > 1 || onwards.is_empty()); // it is on that link
        for (hops, to) in [(onwards, Some(EVERYTHING)), (backwards, back)] {
            let (Some((ip, ip6, ..)), Some((v4, v6))) = (hops.first(), to) else { continue };
            lines += &format!("route add {v4} src {ip}");
            for (_, _, via, _, name) in &hops {
                lines += &format!(" nexthop via {via} dev {name}");
            }
            lines += &format!("\nroute add {v6} src {ip6}");
            for (_, _, _, via, name) in &hops {
                lines += &format!(" nexthop via {via} dev {name}");
            }
            lines.push('\n');
        }
        lines
    }
}

impl Routers {
    fn shared(&self) -> Shared<'_> {
        Shared { chain: &self.chain, spaces: &self.spaces }
    }

    /// The line that makes one link.
    fn create(&self, link: Link) -> String {
        let at = |(position, branch)| {
            let space = self.shared();
            format!("/proc/{}/fd/{}", std::process::id(), space.space(position, branch).as_raw_fd())
        };
        let queues = if link.mac == 0 { self.chain.queues } else { 1 };
        format!(
            "link add {} address {} netns {} numtxqueues {queues} numrxqueues {queues} type veth \
             peer name {} address {} netns {} numtxqueues {queues} numrxqueues {queues}\n",
            link.near_name,
            link.mac(1),
            at(link.near),
            link.far_name,
            link.mac(2),
            at(link.far),
        )
    }

    /// The position of the target.
    pub fn last(&self) -> u8 {
        self.chain.routers + 1
    }

    /// The target's addresses.
    pub fn targets(&self) -> [IpAddr; 2] {
        [self.hop4(self.last()), self.hop6(self.last())]
    }

    /// Who answers with that TTL.
    pub fn hop4(&self, ttl: u8) -> IpAddr {
        Ipv4Addr::new(10, 9, ttl - 1, 2).into()
    }

    /// Who answers with that hop limit.
    pub fn hop6(&self, ttl: u8) -> IpAddr {
        ip6(ttl - 1, 2).into()
    }

    /// The second router of a diamond.
    pub fn beside(&self, ttl: u8) -> [IpAddr; 2] {
        [Ipv4Addr::new(10, 9, 99 + ttl, 2).into(), ip6(99 + ttl, 2).into()]
    }

    /// All hops to a target, in order.
    pub fn hops(&self, target: IpAddr) -> Vec<IpAddr> {
        let hop = |ttl| if target.is_ipv4() { self.hop4(ttl) } else { self.hop6(ttl) };
        (1..=self.last()).map(hop).collect()
    }

    /// Calls `f` on a thread in a namespace of the path. What it opens there stays there.
    pub fn at<R: Send>(&self, position: u8, f: impl FnOnce() -> R + Send) -> R {
        self.beside_at(position, 0, f)
    }

    fn beside_at<R: Send>(&self, position: u8, branch: u8, f: impl FnOnce() -> R + Send) -> R {
        let shared = self.shared();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                shared.enter(position, branch);
                f()
            });
            match inside.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs a command line there; panics unless it succeeds.
    pub fn run_at(&self, position: u8, line: &str) -> String {
        self.at(position, || run(line))
    }

    /// Sets a file below /proc/sys/net there.
    pub fn sysctl(&self, position: u8, name: &str, value: &str) {
        let path = format!("/proc/sys/net/{name}");
        self.at(position, || std::fs::write(&path, value))
            .unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    /// Adds an nftables ruleset there, also to the second router of a diamond.
    pub fn nft(&self, position: u8, rules: &str) {
        for branch in 0..self.chain.width(position) {
            self.beside_at(position, branch, || {
                let mut child = Command::new("nft")
                    .args(["-f", "-"])
                    .stdin(Stdio::piped())
                    .spawn()
                    .expect("nft (nftables)");
                child.stdin.take().expect("piped").write_all(rules.as_bytes()).expect("nft reads");
                assert!(child.wait().expect("nft ends").success(), "nft:\n{rules}");
            });
        }
    }

    fn drop_on_the_way_out(&self, position: u8, name: &str, rules: &str) {
        self.nft(
            position,
            &format!(
                "table inet {name} {{ chain out {{\n\
                 type filter hook output priority 0; policy accept;\n{rules}\n}}\n}}\n"
            ),
        );
    }

    /// A router that lets packets expire without a word.
    pub fn silence(&self, position: u8) {
        let rules = "icmp type time-exceeded drop\nicmpv6 type time-exceeded drop";
        self.drop_on_the_way_out(position, "silent", rules);
    }

    /// A router that limits ICMP errors over IPv4 as kernels do when nobody tells them otherwise,
    /// but with that number: of old the milliseconds between two, in later kernels the jiffies.
    pub fn limit_as_kernels_do(&self, position: u8, number: u32) {
        self.sysctl(position, "ipv4/icmp_ratelimit", &number.to_string());
        self.sysctl(position, "ipv4/icmp_ratemask", "6168");
    }

    /// Nothing of that ICMP and ICMPv6 leaves faster than the rate ("2/second burst 1 packets").
    pub fn limit(&self, position: u8, rate: &str) {
        let rules = format!(
            "icmp type time-exceeded limit rate over {rate} drop\n\
             icmpv6 type time-exceeded limit rate over {rate} drop"
        );
        self.drop_on_the_way_out(position, "limited", &rules);
    }

    /// A router that drops packets that are too big without a word.
    pub fn black_hole(&self, position: u8) {
        let rules = "icmp type destination-unreachable drop\nicmpv6 type packet-too-big drop";
        self.drop_on_the_way_out(position, "hole", rules);
    }

    /// A host whose kernel resets no TCP connection.
    pub fn no_resets(&self, position: u8) {
        self.drop_on_the_way_out(position, "resetless", "tcp flags & rst == rst drop");
    }

    /// A router that translates our address into its own and keeps books about it: quotes come
    /// back as they were sent.
    pub fn masquerade(&self, position: u8) {
        let chain =
            "chain post { type nat hook postrouting priority 100; oifname near masquerade; }\n";
        self.nft(position, &format!("table ip nat {{ {chain}}}\ntable ip6 nat {{ {chain}}}\n"));
        let (net, net6) = (format!("10.9.{position}.0/24"), ip6(position, 0));
        self.know_the_way_back(position + 2, &net, &format!("{net6}/64"));
    }

    /// A router that rewrites our address on the way out and the destination on the way back, and
    /// leaves quotes alone: they show 10.9.77.1 and fd09:0:0:77::1.
    pub fn rewrite(&self, position: u8) {
        let table = |family: &str, ours: &str, theirs: &str| {
            format!(
                "table {family} rewrite {{\n\
                 chain out {{ type filter hook postrouting priority 300; oifname near \
                   {family} saddr {ours} {family} saddr set {theirs}; }}\n\
                 chain in {{ type filter hook prerouting priority -300; iifname near \
                   {family} daddr {theirs} {family} daddr set {ours}; }}\n}}\n"
            )
        };
        self.nft(
            position,
            &(table("ip", "10.9.0.1", "10.9.77.1") + &table("ip6", "fd09::1", "fd09:0:0:77::1")),
        );
        self.know_the_way_back(position + 1, "10.9.77.0/24", "fd09:0:0:77::/64");
    }

    /// Routers from that one on send what is for these prefixes back towards us.
    fn know_the_way_back(&self, from: u8, prefix: &str, prefix6: &str) {
        for behind in from..self.last() {
            let (via, via6) = (format!("10.9.{}.1", behind - 1), ip6(behind - 1, 1));
            self.at(behind, || {
                ip_batch(&format!(
                    "route add {prefix} via {via}\nroute add {prefix6} via {via6}\n"
                ));
            });
        }
    }

    /// The wire on the side of a position that looks at us.
    pub fn wire(&self, position: u8) -> Wire {
        self.at(position, || Wire::open("far")).expect("a packet socket on a router")
    }
}

impl Drop for Routers {
    fn drop(&mut self) {
        if enter(self.outside.as_fd()).is_err() {
            // The thread ends with the test, and the namespaces with it.
            eprintln!("lab: could not leave the namespace");
        }
    }
}
