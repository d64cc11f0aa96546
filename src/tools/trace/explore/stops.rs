//! How many flows through a router are enough.
//!
//! A router with `k` known successors is done when `n_k` flows went through it: the least number
//! for which a router with `k + 1` equally likely successors would be given up too early with a
//! probability of at most α. Giving up too early can happen at every `j ≤ k` on the way, so the
//! stopping points before `n_k` are part of that probability (Veitch et al., "Failure control in
//! multipath route tracing").

/// Beyond this many successors the stopping points on the way no longer count: together they add
/// less than α².
const EXACT: usize = 64;

/// The stopping points for one α, computed as far as they are asked for.
struct Points {
    alpha: f64,
    /// `n_1`, `n_2`, …
    points: Vec<u32>,
}

impl Points {
    fn get(&mut self, successors: usize) -> u32 {
        while self.points.len() < successors.max(1) {
            let next = self.next_point();
            self.points.push(next);
        }
        self.points[successors.max(1) - 1]
    }

    /// The point at which `points.len() + 1` known successors are enough.
    fn next_point(&self) -> u32 {
        let real = self.points.len() + 2;
        if real > EXACT {
            return approximate(real, self.alpha);
        }
        // ways[d]: probability of `d` successors seen, nowhere given up.
        let mut ways = vec![0.0; real + 1];
        ways[1] = 1.0;
        let mut given_up = 0.0;
        let mut flows = 1;
        for (at, &point) in self.points.iter().enumerate() {
            advance(&mut ways, &mut flows, point);
            for way in &mut ways[..=at + 1] {
                given_up += std::mem::take(way);
            }
        }
        // One point further at the least, so that more successors never need fewer flows.
        let least = flows + 1;
        advance(&mut ways, &mut flows, least);
        while given_up + ways[..real].iter().sum::<f64>() > self.alpha && flows < MOST {
            let next = flows + 1;
            advance(&mut ways, &mut flows, next);
        }
        flows
    }
}

/// More flows than any run has.
const MOST: u32 = 1 << 20;

/// One flow after the other up to `until`, each to any of the successors alike.
fn advance(ways: &mut [f64], flows: &mut u32, until: u32) {
    let all = (ways.len() - 1) as f64;
    while *flows < until {
        for seen in (1..ways.len()).rev() {
            let new = ways[seen - 1] * (all - (seen - 1) as f64) / all;
            ways[seen] = ways[seen] * seen as f64 / all + new;
        }
        *flows += 1;
    }
}

/// By the union bound over the successors: each is missed with `(1 − 1/real)^n`.
fn approximate(real: usize, alpha: f64) -> u32 {
    let real = real as f64;
    let flows = (real / (alpha - alpha * alpha)).ln() / -(-1.0 / real).ln_1p();
    (flows.ceil() as u32).min(MOST)
}

/// The stopping points of a whole graph, which must be complete with some confidence.
pub(super) struct Stops {
    alpha: f64,
    by_vertices: Vec<(usize, Points)>,
}

impl Stops {
    pub(super) fn new(confidence: f64) -> Self {
        // Outside of this nothing sensible can be computed; the plan allows less than that.
        Self { alpha: 1.0 - confidence.clamp(0.01, 0.999_999), by_vertices: Vec::new() }
    }

    /// Flows that a router with this many known successors needs in a graph in which this many
    /// vertices have successors: each may fail with the same share of what all may.
    pub(super) fn flows(&mut self, vertices: usize, successors: usize) -> u32 {
        let vertices = rounded_up(vertices.max(1));
        let at = match self.by_vertices.binary_search_by_key(&vertices, |entry| entry.0) {
            Ok(at) => at,
            Err(at) => {
                let alpha = self.alpha / vertices as f64;
                self.by_vertices.insert(at, (vertices, Points { alpha, points: Vec::new() }));
                at
            }
        };
        self.by_vertices[at].1.get(successors)
    }
}

/// To at most two significant bits below the first, so that a growing graph does not need new
/// stopping points for each vertex.
fn rounded_up(vertices: usize) -> usize {
    let step = 1 << vertices.ilog2().saturating_sub(2);
    vertices.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(alpha: f64, many: usize) -> Vec<u32> {
        let mut points = Points { alpha, points: Vec::new() };
        (1..=many).map(|k| points.get(k)).collect()
    }

    /// Probability that a router with `real` successors is given up too early.
    fn failure(points: &[u32], real: usize) -> f64 {
        let mut ways = vec![0.0; real + 1];
        ways[1] = 1.0;
        let (mut failed, mut flows) = (0.0, 1);
        for (at, &point) in points[..real - 1].iter().enumerate() {
            advance(&mut ways, &mut flows, point);
            failed += ways[..=at + 1].iter_mut().map(std::mem::take).sum::<f64>();
        }
        failed
    }

    #[test]
    fn stopping_points_are_those_of_the_literature() {
        assert_eq!(points(0.05, 5), [6, 11, 16, 21, 27]);
        assert_eq!(points(0.01, 4), [8, 15, 21, 28]);
    }

    #[test]
    fn no_number_of_successors_fails_more_often_than_alpha() {
        for alpha in [0.05, 0.01, 0.002, 0.0003] {
            let points = points(alpha, EXACT + 16);
            assert!(points.windows(2).all(|pair| pair[0] < pair[1]), "{points:?}");
            for real in 2..=EXACT + 16 {
                let failed = failure(&points, real);
                assert!(failed <= alpha, "alpha {alpha}, {real} successors: {failed}");
            }
        }
    }

    #[test]
    fn a_growing_graph_needs_more_flows_of_each_router() {
        let mut stops = Stops::new(0.95);
        assert_eq!(stops.flows(1, 1), 6);
        let needs: Vec<_> = [1, 2, 9, 10, 33, 1000].map(|v| stops.flows(v, 3)).to_vec();
        assert!(needs.is_sorted() && needs[0] < needs[5], "{needs:?}");
        assert_eq!((rounded_up(7), rounded_up(9), rounded_up(33)), (7, 10, 40));
        assert_eq!(stops.flows(0, 0), 6, "nothing seen yet is as one successor");
    }
}
