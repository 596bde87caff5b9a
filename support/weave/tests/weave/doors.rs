//! The preprocessor as mdBook calls it, and the sources of locked dependencies.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::workspace::Workspace;
use mdbook_driver::MDBook;
use mdbook_preprocessor::PreprocessorContext;
use weave::upstream::Upstream;

const PAGE: &str = "# A?\n\n{{#item stage1-rotor::pool::Pool}}\n";

/// Calls the program as mdBook of a version does.
fn call(workspace: &Workspace, version: &str) -> Output {
    let book = MDBook::load(workspace.root().join("book")).unwrap();
    let mut context =
        PreprocessorContext::new(book.root.clone(), book.config.clone(), "html".into());
    version.clone_into(&mut context.mdbook_version);
    let mut child = Command::new(env!("CARGO_BIN_EXE_weave"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(&(context, &book.book)).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn as_a_program_it_expands_the_same_book() {
    let output = call(&Workspace::new(PAGE), "0.5.4");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("w-listing") && !printed.contains("{{#item"));
}

#[test]
fn as_a_program_it_fails_with_the_place() {
    let output = call(&Workspace::new("# A?\n\n{{#item stage1-rotor::pool::Pol}}\n"), "0.5.4");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(told.starts_with("book/src/page.md:3: no item `pool::Pol`"), "{told}");
}

#[test]
fn another_mdbook_is_refused() {
    let output = call(&Workspace::new(PAGE), "0.4.52");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(told.contains("mdBook 0.5, this is 0.4.52"), "{told}");
}

/// The real workspace: its locked dependencies are here, since this test was built from them.
fn upstream() -> Upstream {
    Upstream::new(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), |_| {})
}

#[test]
fn an_item_of_a_dependency_is_found_in_a_macro_and_in_one_system_s_file() {
    let upstream = upstream();
    // Both stand in the braces of tokio's `cfg_net!`, the second one inside an impl.
    for address in [
        "tokio::net::lookup_host::lookup_host",
        "tokio::net::tcp::stream::TcpStream::connect",
        "tokio::runtime::io::driver::Driver::turn",
        "mio::sys::unix::selector::epoll::Selector::select @ src/sys/unix/selector/epoll.rs",
    ] {
        let found = upstream.find("stage3-tokio", address).unwrap();
        let item = &found.source.items[found.item];
        assert!(found.package.page(&found.source, item.lines).starts_with("https://docs.rs/"));
    }
}

#[test]
fn an_item_that_is_not_there_names_its_neighbours() {
    let upstream = upstream();
    let told =
        upstream.find("stage3-tokio", "tokio::runtime::io::driver::Driver::tun").unwrap_err();
    let told = told.to_string();
    assert!(told.contains("`tun`"), "{told}");
    let told = upstream.find("stage2-mio", "tokio::net::TcpStream").unwrap_err().to_string();
    assert!(told.contains("stage2-mio links no package `tokio`"), "{told}");
}

#[test]
fn a_version_is_the_locked_one_and_never_one_of_several() {
    let upstream = upstream();
    assert!(upstream.version("rotor", None).unwrap().starts_with("0.6."));
    assert!(upstream.version("mio", Some("stage1-rotor")).unwrap().starts_with("0.5."));
    // What only a member's examples need.
    assert!(upstream.version("tower", Some("stage3-tokio")).unwrap().starts_with("0."));
    assert!(upstream.version("mio", None).unwrap_err().to_string().contains("of=PACKAGE"));
    assert!(
        upstream.version("gone", None).unwrap_err().to_string().contains("no package `gone`")
    );
}
