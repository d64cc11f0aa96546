//! On graphs that hash flows with a seed.
#![allow(clippy::unwrap_used)] // helpers of tests

use super::*;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// A small random number generator (xorshift64*), so that every run is the same.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(mixed(seed) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// The finalizer of splitmix64.
fn mixed(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

fn hash(seed: u64, node: usize, key: u64) -> u64 {
    let seed = mixed(seed.wrapping_add(0x9e37_79b9_7f4a_7c15));
    mixed(mixed(seed ^ node as u64).wrapping_add(key.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Router,
    PerPacket,
    Silent,
    Target,
    /// Forwards nothing, answers itself.
    Dead,
}

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    next: Vec<usize>,
}

/// Node 0 is the first router.
#[derive(Clone, Debug)]
struct Graph {
    nodes: Vec<Node>,
    seed: u64,
    /// Answers that get lost, percent; of the target apart.
    loss: usize,
    target_loss: usize,
}

fn addr(node: usize) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + node as u32).into()
}

impl Graph {
    /// By the edges `from > to to to`, one node per line; `!` per-packet, `*` silent, `=` dead
    /// end. Nodes are numbered by their first mention; one with nothing behind it is the target.
    fn new(text: &str) -> Self {
        let mut names: Vec<&str> = Vec::new();
        let mut nodes: Vec<Node> = Vec::new();
        let mut node = |name, nodes: &mut Vec<Node>| {
            names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                nodes.push(Node { kind: Kind::Target, next: Vec::new() });
                names.len() - 1
            })
        };
        for edge in text.split(';').map(str::trim) {
            let (from, to) = edge.split_once('>').unwrap();
            let (kind, from) = match from.trim().split_at(1) {
                ("!", name) => (Kind::PerPacket, name),
                ("*", name) => (Kind::Silent, name),
                ("=", name) => (Kind::Dead, name),
                _ => (Kind::Router, from.trim()),
            };
            let from = node(from, &mut nodes);
            nodes[from].kind = kind;
            for to in to.split_whitespace() {
                let to = node(to, &mut nodes);
                nodes[from].next.push(to);
            }
        }
        Self { nodes, seed: 0, loss: 0, target_loss: 0 }
    }

    fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// `a`, then `width` routers, then `z`, then the target.
    fn wide(width: usize) -> Self {
        let branches: Vec<String> = (0..width).map(|branch| format!("b{branch}")).collect();
        let behind: Vec<String> = branches.iter().map(|branch| format!("{branch} > z")).collect();
        Self::new(&format!("a > {}; {}; z > t", branches.join(" "), behind.join("; ")))
    }

    fn at(&self, flow: u16, ttl: u8, packet: u64) -> Option<usize> {
        let mut at = 0;
        for _ in 1..ttl {
            let node = &self.nodes[at];
            let key = if node.kind == Kind::PerPacket { 1 << 32 | packet } else { flow.into() };
            match node.kind {
                Kind::Target => return Some(at),
                Kind::Dead => return None,
                _ => at = node.next[(hash(self.seed, at, key) % node.next.len() as u64) as usize],
            }
        }
        Some(at)
    }

    fn probe(&self, flow: u16, ttl: u8, packet: u64, random: &mut Random) -> Found {
        let Some(at) = self.at(flow, ttl, packet) else { return Found::Silent };
        match self.nodes[at].kind {
            Kind::Silent => Found::Silent,
            Kind::Target if random.happens(self.target_loss) => Found::Silent,
            Kind::Target => Found::End(addr(at)),
            _ if random.happens(self.loss) => Found::Silent,
            _ => Found::Router(addr(at)),
        }
    }

    /// Addresses of all that answer.
    fn all(&self) -> BTreeSet<IpAddr> {
        let answers = |(_, node): &(usize, &Node)| node.kind != Kind::Silent;
        self.nodes.iter().enumerate().filter(answers).map(|(at, _)| addr(at)).collect()
    }
}

/// The result of a run.
struct Ran {
    explorer: Explorer,
    /// Routers that answered.
    seen: BTreeSet<IpAddr>,
    probes: usize,
    /// Times that everything had been answered and there was more to do.
    rounds: usize,
}

impl Ran {
    fn misses(&self, graph: &Graph) -> bool {
        self.seen != graph.all()
    }
}

/// Explores, all answers of a round in order.
fn explore_with(graph: &Graph, mut explorer: Explorer) -> Ran {
    let mut random = Random::seeded(graph.seed);
    let (mut probes, mut rounds, mut seen) = (0, 0, BTreeSet::new());
    while !explorer.is_complete() {
        let mut pairs = Vec::new();
        explorer.next(usize::MAX, &mut pairs);
        assert!(!pairs.is_empty(), "neither complete nor anything to do");
        rounds += 1;
        for (flow, ttl) in pairs {
            probes += 1;
            let found = graph.probe(flow, ttl, probes as u64, &mut random);
            if let Found::Router(addr) | Found::End(addr) = found {
                seen.insert(addr);
            }
            explorer.found(flow, ttl, found);
        }
    }
    Ran { explorer, seen, probes, rounds }
}

fn explore(graph: &Graph) -> Ran {
    explore_with(graph, Explorer::new(1, 30, 0.95, 1024))
}

/// How many of `runs` seeded runs miss a router, in percent; all are certain to have none.
fn missing(graph: &Graph, runs: u64) -> f64 {
    let mut missed = 0;
    for seed in 0..runs {
        let graph = graph.clone().seeded(seed);
        let ran = explore(&graph);
        assert!(ran.explorer.is_certain(), "seed {seed}");
        missed += u64::from(ran.misses(&graph));
    }
    missed as f64 / runs as f64 * 100.0
}

#[test]
fn sixteen_ways_are_missed_in_at_most_four_of_a_hundred_runs() {
    let missed = missing(&Graph::wide(16), 1000);
    assert!(missed <= 4.0, "{missed} %");
}

#[test]
fn few_ways_are_missed_in_at_most_four_of_a_hundred_runs() {
    for width in [1, 2, 3] {
        let missed = missing(&Graph::wide(width), 2000);
        assert!(missed <= 4.0, "{width}: {missed} %");
    }
}

#[test]
fn balancers_behind_balancers_are_missed_in_at_most_four_of_a_hundred_runs() {
    let two = "a > b1 b2 b3 b4; b1 > c; b2 > c; b3 > c; b4 > c; c > d1 d2 d3 d4; \
               d1 > e; d2 > e; d3 > e; d4 > e; e > t";
    let deep = format!(
        "a > b c; b > d; d > z; c > {}; {} > z; z > t",
        (0..16).map(|way| format!("w{way}")).collect::<Vec<_>>().join(" "),
        (0..16).map(|way| format!("w{way}")).collect::<Vec<_>>().join(" > z; ")
    );
    let nested = "a > b c; b > d e; c > f g; d > h i; e > j k; f > l m; g > n o; \
                  h > t; i > t; j > t; k > t; l > t; m > t; n > t; o > t";
    let unequal = "a > b c; b > t; c > d; d > e f; e > t; f > g; g > t";
    for (graph, runs) in [(two, 1000), (&deep, 250), (nested, 500), (unequal, 1000)] {
        let missed = missing(&Graph::new(graph), runs);
        assert!(missed <= 4.0, "{graph}: {missed} %");
    }
}

fn hops(way: &Way) -> Vec<Option<IpAddr>> {
    way.hops.clone()
}

fn some(nodes: &[usize]) -> Vec<Option<IpAddr>> {
    nodes.iter().map(|&node| Some(addr(node))).collect()
}

#[test]
fn a_single_path_takes_the_least_flows_and_one_round_more() {
    let graph = Graph::new("a > b; b > c; c > t");
    let ran = explore(&graph);
    assert_eq!((ran.explorer.flows(), ran.rounds), (9, 2));
    let ways = ran.explorer.paths();
    assert_eq!(ways.len(), 1);
    assert_eq!((hops(&ways[0]), ways[0].flows.len()), (some(&[0, 1, 2, 3]), 9));
    assert!(ways[0].ended && ran.explorer.is_certain());
    assert_eq!(ran.explorer.balancing(2), None);
    let link =
        |ttl: u8, from, to| Link { ttl, from: Some(addr(from).into()), to: Some(addr(to).into()) };
    assert_eq!(ran.explorer.links(), [link(1, 0, 1), link(2, 1, 2), link(3, 2, 3)]);
}

#[test]
fn a_diamond_is_told_with_both_branches_and_per_flow() {
    let graph = Graph::new("a > b c; b > d; c > d; d > t").seeded(7);
    let Ran { explorer, .. } = explore(&graph);
    let mut ways: Vec<_> = explorer.paths().iter().map(hops).collect();
    ways.sort();
    assert_eq!(ways, [some(&[0, 1, 3, 4]), some(&[0, 2, 3, 4])]);
    assert_eq!(explorer.balancing(2), Some(Balancing::PerFlow));
    assert_eq!([1, 3, 4, 5, 0, 200].map(|ttl| explorer.balancing(ttl)), [None; 6]);
    assert_eq!(explorer.links().len(), 5);
    let flows: usize = explorer.paths().iter().map(|way| way.flows.len()).sum();
    assert_eq!(flows, usize::from(explorer.flows()));
}

#[test]
fn a_per_packet_balancer_is_told_from_a_per_flow_one() {
    let graph = Graph::new("!a > b c; b > d; c > d; d > e f g; e > t; f > t; g > t");
    let mut wrong = 0;
    for seed in 0..500 {
        let graph = graph.clone().seeded(seed);
        let Ran { explorer, .. } = explore(&graph);
        wrong += u32::from(explorer.balancing(2) != Some(Balancing::PerPacket));
        assert_eq!(explorer.balancing(4), Some(Balancing::PerFlow), "seed {seed}");
    }
    assert!(wrong <= 10, "{wrong} of 500 not told");
}

#[test]
fn routers_behind_a_per_packet_balancer_are_missed_in_at_most_four_of_a_hundred_runs() {
    let lanes = "!a > b c d; b > e; c > f; d > g h; e > z; f > z; g > z; h > z; z > t";
    let inner = "a > b c; !b > d e; c > f; d > g; e > g; f > g; g > t";
    for graph in [lanes, inner] {
        let missed = missing(&Graph::new(graph), 1000);
        assert!(missed <= 4.0, "{graph}: {missed} %");
    }
}

#[test]
fn lost_answers_make_neither_routers_nor_paths_nor_many_flows() {
    let graph = Graph { loss: 3, target_loss: 3, ..Graph::wide(2) };
    let mut missed = 0;
    for seed in 0..300 {
        let graph = graph.clone().seeded(seed);
        let ran = explore(&graph);
        if ran.misses(&graph) {
            missed += 1;
            continue;
        }
        assert!(ran.explorer.flows() <= 128, "seed {seed}: {}", ran.explorer.flows());
        assert!(ran.explorer.is_certain(), "seed {seed}");
        assert_eq!(ran.explorer.paths().len(), 2, "seed {seed}: {:?}", ran.explorer.paths());
        assert_eq!(ran.explorer.links().len(), 5, "seed {seed}: {:?}", ran.explorer.links());
    }
    assert!(missed <= 12, "{missed} of 300");
}

#[test]
fn a_target_that_answers_one_probe_in_ten_is_still_reached_and_not_waited_for() {
    let graph = Graph { target_loss: 90, ..Graph::wide(4) };
    for seed in 0..100 {
        let graph = graph.clone().seeded(seed);
        let ran = explore(&graph);
        let Ran { explorer, probes, .. } = &ran;
        assert!(explorer.paths().iter().any(|way| way.ended), "seed {seed}");
        assert!(explorer.flows() < 400, "seed {seed}: {}", explorer.flows());
        assert!(*probes < 8 * usize::from(explorer.flows()) + 100, "seed {seed}: {probes}");
    }
}

#[test]
fn a_silent_branch_is_a_path_of_its_own_and_what_is_behind_it_is_found() {
    let graph = Graph::new("a > b c; b > d; *c > e f; d > t; e > t; f > t");
    let missed = missing(&graph, 1000);
    assert!(missed <= 4.0, "{missed} %");
    let Ran { explorer, .. } = explore(&graph);
    let mut ways: Vec<_> = explorer.paths().iter().map(hops).collect();
    ways.sort();
    let silent = |node| vec![Some(addr(0)), None, Some(addr(node)), Some(addr(6))];
    assert_eq!(ways, [silent(4), silent(5), some(&[0, 1, 3, 6])]);
}

#[test]
fn silent_routers_on_the_way_cost_no_round_of_their_own() {
    let silent = explore(&Graph::new("a > b c; *b > d; *c > d; d > e f g; e > t; f > t; g > t"));
    assert!(silent.explorer.is_certain());
    assert_eq!(silent.explorer.balancing(2), None, "one silent vertex");
    assert_eq!(silent.explorer.paths().len(), 3);
}

#[test]
fn more_flows_are_begun_while_hops_that_never_answer_are_waited_for() {
    let graph = Graph::new("a > b; *b > d; d > e f g; e > t; f > t; g > t");
    let mut explorer = Explorer::new(1, 30, 0.95, 1024);
    let mut random = Random::seeded(1);
    let mut silent: Vec<(u16, u8)> = Vec::new();
    // Of the first flows alone it is waited for the silent hop.
    loop {
        let mut pairs = Vec::new();
        explorer.next(usize::MAX, &mut pairs);
        if pairs.is_empty() {
            break;
        }
        for (flow, ttl) in pairs {
            match graph.probe(flow, ttl, 0, &mut random) {
                Found::Silent if flow >= 9 => silent.push((flow, ttl)),
                found => explorer.found(flow, ttl, found),
            }
        }
    }
    assert!(explorer.flows() >= 30 && !explorer.is_complete(), "{}", explorer.flows());
    for (flow, ttl) in silent {
        assert!(!explorer.is_complete());
        explorer.found(flow, ttl, Found::Silent);
    }
    let ran = explore_with(&graph, explorer);
    assert!(ran.explorer.is_certain());
    assert_eq!(ran.explorer.paths().len(), 3);
}

#[test]
fn a_target_that_never_answers_is_not_probed_for_by_every_flow() {
    let graph = Graph::new("a > b c; b > d; c > d; =d > t");
    let ran = explore(&graph);
    assert!(ran.explorer.is_certain());
    // Four flows to the last TTL, the others two hops beyond the last that answers.
    let flows = usize::from(ran.explorer.flows());
    assert!(ran.probes <= 4 * 30 + (flows - 4) * 5 + 8, "{} for {flows}", ran.probes);
    let ways = ran.explorer.paths();
    assert_eq!(ways.len(), 2);
    assert!(ways.iter().all(|way| !way.ended && way.hops.len() == 3));
}

#[test]
fn a_branch_that_swallows_everything_does_not_hide_the_target() {
    let graph = Graph::new("a > b c; =b > x; c > d; *d > e; *e > t").seeded(0);
    for seed in 0..50 {
        let graph = graph.clone().seeded(seed);
        let Ran { explorer, .. } = explore(&graph);
        let ended = explorer.paths().iter().filter(|way| way.ended).count();
        let taken = (0..4).any(|flow| graph.at(flow, 2, 0) == Some(2));
        assert_eq!(ended > 0, taken, "seed {seed}");
    }
}

#[test]
fn nobody_at_all_ends_soon() {
    let graph = Graph::new("*a > b; *b > c; =c > t");
    let graph = Graph { loss: 100, ..graph };
    let ran = explore(&graph);
    assert!(ran.probes <= 4 * 30 + 5 * 2, "{}", ran.probes);
    assert!(ran.explorer.paths().is_empty() && ran.explorer.links().is_empty());
}

#[test]
fn flows_run_out_and_it_is_not_certain() {
    for most in [1, 5, 40] {
        let ran = explore_with(&Graph::wide(16), Explorer::new(1, 30, 0.95, most));
        assert_eq!(ran.explorer.flows(), most);
        assert!(ran.explorer.is_complete() && !ran.explorer.is_certain());
    }
}

#[test]
fn the_first_ttl_may_have_several_routers() {
    let graph = Graph::new("s > a b c; a > t; b > t; c > t");
    let mut missed = 0;
    for seed in 0..500 {
        let graph = graph.clone().seeded(seed);
        let ran = explore_with(&graph, Explorer::new(2, 30, 0.95, 1024));
        missed += u32::from(ran.seen.len() != 4);
        assert!(ran.explorer.is_certain());
    }
    assert!(missed <= 20, "{missed} of 500");
}

#[test]
fn a_route_that_changes_does_not_take_all_flows() {
    let before = Graph::new("a > b; b > t; x > y; y > t");
    let mut after = before.clone();
    after.nodes[0].next = vec![3];
    let mut explorer = Explorer::new(1, 30, 0.95, 1024);
    let mut random = Random::seeded(0);
    while !explorer.is_complete() {
        let mut pairs = Vec::new();
        explorer.next(usize::MAX, &mut pairs);
        for (flow, ttl) in pairs {
            let graph = if flow < 5 { &before } else { &after };
            explorer.found(flow, ttl, graph.probe(flow, ttl, 0, &mut random));
        }
    }
    assert!(!explorer.is_certain());
    assert!(explorer.flows() < 400, "{}", explorer.flows());
}

/// A graph of layers, each node with some of the next layer or the one after it behind it.
fn random_graph(random: &mut Random) -> Graph {
    let layers = 1 + random.below(7);
    let mut layer = vec![vec![0]];
    let mut count = 1;
    for _ in 0..layers {
        let width = 1 + random.below(5);
        layer.push((count..count + width).collect());
        count += width;
    }
    layer.push(vec![count]);
    let mut nodes = vec![Node { kind: Kind::Target, next: Vec::new() }; count + 1];
    for at in 0..layer.len() - 1 {
        for &node in &layer[at] {
            let kinds = [Kind::Router, Kind::Router, Kind::Router, Kind::PerPacket, Kind::Silent];
            nodes[node].kind = kinds[random.below(5)];
            if random.happens(3) {
                nodes[node].kind = Kind::Dead;
            }
            for _ in 0..1 + random.below(4) {
                let to = if random.happens(20) { at + 2 } else { at + 1 };
                let to = &layer[to.min(layer.len() - 1)];
                nodes[node].next.push(to[random.below(to.len())]);
            }
        }
    }
    Graph {
        nodes,
        seed: random.below(usize::MAX) as u64,
        loss: [0, 0, 5, 40][random.below(4)],
        target_loss: [0, 0, 50, 95][random.below(4)],
    }
}

#[test]
fn any_graph_loss_and_order_comes_to_an_end_and_finds_what_is_there() {
    for seed in 0..400 {
        let mut random = Random::seeded(seed);
        let graph = random_graph(&mut random);
        let first = 1 + random.below(3) as u8;
        let last = first + random.below(20) as u8;
        let most = [1, 3, 30, 200][random.below(4)];
        let mut explorer = Explorer::new(first, last, 0.95, most);
        let (mut under_way, mut given) = (Vec::new(), HashMap::new());
        let (mut packets, mut found) = (0, 0);
        while !explorer.is_complete() {
            let room = random.below(9);
            let mut pairs = Vec::new();
            explorer.next(room, &mut pairs);
            assert!(pairs.len() <= room);
            for &(flow, ttl) in &pairs {
                assert!(flow < most && (first..=last).contains(&ttl));
                *given.entry((flow, ttl)).or_insert(0) += 1;
            }
            under_way.extend(pairs);
            // Nonsense is ignored.
            explorer.found(random.below(5000) as u16, 255, Found::Silent);
            explorer.found(4999, first, Found::End(addr(0)));
            while !under_way.is_empty() && random.happens(70) {
                let (flow, ttl) = under_way.swap_remove(random.below(under_way.len()));
                assert!(!explorer.is_complete(), "seed {seed}: complete with probes under way");
                packets += 1;
                let answer = graph.probe(flow, ttl, packets, &mut random);
                explorer.found(flow, ttl, answer);
                found += 1;
            }
            assert!(found < 1_000_000, "seed {seed} does not end");
        }
        assert!(under_way.is_empty(), "seed {seed}");
        let mut pairs = Vec::new();
        explorer.next(usize::MAX, &mut pairs);
        assert!(pairs.is_empty(), "seed {seed}");
        assert!(given.values().all(|&times| times <= 25), "seed {seed}");
        let real = graph.all();
        let ways = explorer.paths();
        let all = ways.iter().flat_map(|way| way.hops.iter().flatten());
        let ends = explorer.links().into_iter().flat_map(|link| [link.from, link.to]).flatten();
        let ends = ends.map(|end| end.address);
        assert!(all.copied().chain(ends).all(|addr| real.contains(&addr)));
        let flows: BTreeSet<u16> = ways.iter().flat_map(|way| way.flows.clone()).collect();
        let counted: usize = ways.iter().map(|way| way.flows.len()).sum();
        assert_eq!(counted, flows.len(), "seed {seed}: a flow in two paths");
        assert!(ways.iter().all(|way| way.hops.last().is_some_and(Option::is_some)));
    }
}

#[test]
fn the_largest_runs_take_little_time_for_each_answer() {
    let graph = Graph { loss: 5, ..Graph::wide(100) };
    let began = std::time::Instant::now();
    let ran = explore_with(&graph, Explorer::new(1, 30, 0.95, 4096));
    assert!(ran.explorer.is_certain() && ran.explorer.flows() > 1024);
    ran.explorer.paths();
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}
