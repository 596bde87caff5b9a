//! The list of cases is complete: a case that is not in it would be run by no stage.

use std::{collections::BTreeSet, fs, path::Path};

/// Cases that count what their process has, or change it, each in a binary of its own.
const ALONE: [&str; 4] = [
    "nothing_is_left_of_a_client",
    "a_hundred_megabytes_pass_through_little_memory",
    "dead_sockets_are_left_alone",
    "running_out_of_descriptors_is_no_wall",
];

#[test]
fn every_case_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    let list = fs::read_to_string(folder.join("mod.rs")).unwrap();
    let list: BTreeSet<&str> = list.lines().map(str::trim).chain(ALONE).collect();
    let mut cases = 0;
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let names = text.lines().filter_map(|line| {
            line.strip_prefix("pub fn ")?.strip_suffix("<C: ApiClient>() {")
        });
        for name in names {
            assert!(list.contains(name), "{name} is in no list");
            cases += 1;
        }
    }
    assert!(cases > 200, "only {cases} cases were found: has their form changed?");
}
