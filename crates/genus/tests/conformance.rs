//! Every registered model against the conformance suite.

fn main() {
    let specs: Vec<_> = genus::registry::all().collect();
    genus_testkit::conformance(&specs).exit();
}
