//! [`Members`]: the targets of a run, and what is known of each so far.

use super::event::Summary;
use super::plan::Plan;
use super::target::{Goal, TargetTrace};
use crate::tools::probe::Path;
use std::collections::HashMap;
use std::net::IpAddr;

/// One target.
pub(super) struct Member {
    /// Boxed and gone when it is done: of many targets few are in progress.
    pub(super) trace: Option<Box<TargetTrace>>,
    /// The last round that was told of.
    pub(super) round: u64,
    /// Whether a port of it was seen to be open.
    pub(super) open_port: bool,
    /// Why nothing could be sent to it.
    pub(super) trouble: Option<String>,
    /// Whether it had its turn to begin then.
    pub(super) kept_out: bool,
    reached: bool,
    /// Whether its summary was made.
    done: bool,
}

/// All targets.
pub(super) struct Members {
    list: Vec<Member>,
    by_address: HashMap<IpAddr, u32>,
    /// Begun and not done.
    open: usize,
    /// Whether any probe was given up.
    pub(super) lost: bool,
}

impl Members {
    pub(super) fn new(paths: &[Path]) -> Self {
        let member = || Member {
            trace: None,
            round: 1,
            open_port: false,
            trouble: None,
            kept_out: false,
            reached: false,
            done: false,
        };
        Self {
            list: paths.iter().map(|_| member()).collect(),
            by_address: paths.iter().map(|path| path.address).zip(0..).collect(),
            open: 0,
            lost: false,
        }
    }

    /// The target with this address.
    pub(super) fn find(&self, address: IpAddr) -> Option<u32> {
        self.by_address.get(&address).copied()
    }

    pub(super) fn get(&mut self, at: u32) -> &mut Member {
        &mut self.list[at as usize]
    }

    /// The trace of a target that was begun and is not done.
    pub(super) fn trace(&mut self, at: u32) -> Option<&mut TargetTrace> {
        self.list.get_mut(at as usize)?.trace.as_deref_mut()
    }

    /// Begins a target.
    pub(super) fn begin(&mut self, at: u32, trace: TargetTrace) {
        self.list[at as usize].trace = Some(Box::new(trace));
        self.open += 1;
    }

    /// Ends a target, whether it was begun or not; `reached` is what its summary says.
    pub(super) fn end(&mut self, at: u32, reached: bool) {
        let member = &mut self.list[at as usize];
        self.open -= usize::from(member.trace.take().is_some());
        (member.reached, member.done) = (reached, true);
    }

    /// Whether all that were begun are done.
    pub(super) fn are_done(&self) -> bool {
        self.open == 0
    }

    /// Those in progress.
    pub(super) fn in_progress(&self) -> Vec<u32> {
        self.positions(|member| member.trace.is_some())
    }

    /// Those that had their turn to begin, and that nothing could be sent to.
    pub(super) fn kept_out(&self) -> Vec<u32> {
        self.positions(|member| member.kept_out && member.trace.is_none() && !member.done)
    }

    /// Those without a summary: interrupted, or never begun.
    pub(super) fn left(&self) -> Vec<u32> {
        self.positions(|member| !member.done)
    }

    /// How many were reached.
    pub(super) fn reached(&self) -> usize {
        self.list.iter().filter(|member| member.reached).count()
    }

    /// What is known of one target.
    pub(super) fn summary(&self, at: u32, path: &Path, plan: &Plan) -> Summary {
        match &self.list[at as usize].trace {
            Some(trace) => trace.summary(&path.name, path.address, plan.paths),
            None => {
                let goal =
                    Goal { target: path.address, size: 0, sizes: (0, 0), cut_by_frames: false };
                TargetTrace::new(plan, goal).summary(&path.name, path.address, plan.paths)
            }
        }
    }

    fn positions(&self, which: impl Fn(&Member) -> bool) -> Vec<u32> {
        (0..).zip(&self.list).filter(|(_, member)| which(member)).map(|(at, _)| at).collect()
    }
}
