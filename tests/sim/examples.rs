//! What `examples/` promise.

use crate::forward_two_ports;

#[test]
fn the_example_carries_pings_between_two_simulated_interfaces_and_back() {
    assert_eq!(forward_two_ports::simulated().unwrap(), 8);
}
