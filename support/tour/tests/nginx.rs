//! `fetch` of each stage against a real nginx. Where none is installed, each test says so, and
//! tests nothing.

mod programs;

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
};

use flate2::read::GzDecoder;
use programs::{
    Program, TempDir,
    nginx::{BIG, BIG_LEN, Nginx, PAGE, TEXT, TEXT_TIMES},
};
use testbed::certs;

for_each_stage!("fetch":
    a_page_comes_by_name,
    a_thousand_calls_share_eight_connections,
    a_large_file_arrives_whole_in_little_memory,
    a_thousand_calls_over_tls_share_eight_connections,
    a_large_file_arrives_whole_over_tls,
    a_session_is_resumed,
    compressed_on_the_fly_it_comes_in_chunks,
    head_range_post_and_errors,
    an_nginx_that_goes_fails_each_call,
);

fn a_page_comes_by_name(fetch: &Program) {
    let Some(nginx) = Nginx::start() else { return };
    let ended = fetch.run(["-i", &nginx.url("/")]).expect(0);
    let text = ended.text();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\nserver: nginx"), "{text}");
    assert!(text.ends_with(PAGE), "{text}");
}

fn a_thousand_calls_share_eight_connections(fetch: &Program) {
    let Some(nginx) = Nginx::start() else { return };
    let url = nginx.url("/index.html");
    let before = nginx.accepted();
    let args =
        ["--repeat", "1000", "--concurrency", "64", "--max-per-origin", "8", "--json", &url];
    let lines = fetch.run(args).expect(0).lines();
    let accepted = nginx.accepted() - before - 1; // the last question was a connection too
    assert_eq!(lines.len(), 1000);
    let whole =
        |line: &programs::Line| line.status() == Some(200) && line.body() == PAGE.as_bytes();
    assert!(lines.iter().all(whole));
    let mut connections: Vec<_> = lines.iter().map(|line| line.connection()).collect();
    connections.sort_unstable();
    connections.dedup();
    assert!(connections.len() <= 8, "{connections:?}");
    assert!(accepted <= 8, "nginx accepted {accepted}");
}

fn a_large_file_arrives_whole_in_little_memory(fetch: &Program) {
    let Some(nginx) = Nginx::start() else { return };
    nginx.write_big().unwrap();
    let dir = TempDir::new("fetch-big");
    let file = dir.file("received");
    let running = fetch.start(["-o", &file.display().to_string(), &nginx.url(BIG)]);
    let mut peak = 0;
    programs::until("the file", || {
        peak = running.peak_memory().map_or(peak, |now| now.max(peak));
        running.has_ended()
    });
    running.end().expect(0);
    assert!(same(&nginx.file(BIG), &file));
    if cfg!(target_os = "linux") {
        assert!(0 < peak && peak < 64 * 1024, "{peak} KiB");
    }
}

fn a_thousand_calls_over_tls_share_eight_connections(fetch: &Program) {
    let Some(nginx) = Nginx::start() else { return };
    let (ca, url) = (ca(&nginx), nginx.secure_url("/index.html"));
    let args = ["--cacert", &ca, "--repeat", "1000", "--concurrency", "64"];
    let rest = ["--max-per-origin", "8", "--json", &url];
    let lines = fetch.run(args.into_iter().chain(rest)).expect(0).lines();
    assert_eq!(lines.len(), 1000);
    assert!(lines.iter().all(|line| line.body() == PAGE.as_bytes()));
    assert!(lines.iter().all(|line| line.connection() <= 8));
}

fn a_large_file_arrives_whole_over_tls(fetch: &Program) {
    let Some(nginx) = Nginx::start() else { return };
    nginx.write_big().unwrap();
    let dir = TempDir::new("fetch-big-tls");
    let file = dir.file("received");
    let out = file.display().to_string();
    fetch.run(["--cacert", &ca(&nginx), "-o", &out, &nginx.secure_url(BIG)]).expect(0);
    assert!(same(&nginx.file(BIG), &file));
}

fn a_session_is_resumed(fetch: &Program) {
    let Some(nginx) = Nginx::start() else { return };
    let (ca, url) = (ca(&nginx), nginx.secure_url("/session"));
    let args = ["--cacert", &ca, "--json", "--repeat", "3", "-H", "connection: close", &url];
    let lines = fetch.run(args).expect(0).lines();
    let bodies: Vec<_> =
        lines.iter().map(|line| String::from_utf8(line.body()).unwrap()).collect();
    let expected = ["TLSv1.3 . localhost", "TLSv1.3 r localhost", "TLSv1.3 r localhost"];
    assert_eq!(bodies, expected);
}

fn compressed_on_the_fly_it_comes_in_chunks(fetch: &Program) {
    let Some(nginx) = Nginx::start() else { return };
    let url = nginx.url("/text.txt");
    let line = fetch.run(["--json", "-H", "accept-encoding: gzip", &url]).expect(0).line();
    assert_eq!(line.header("transfer-encoding"), Some("chunked"));
    assert_eq!(line.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(&*line.body()).read_to_string(&mut text).unwrap();
    assert!(text == TEXT.repeat(TEXT_TIMES), "{} bytes", text.len());

    let plain = fetch.run([url]).expect(0);
    assert!(plain.text() == text, "{} bytes", plain.stdout.len());
}

fn head_range_post_and_errors(fetch: &Program) {
    let Some(nginx) = Nginx::start() else { return };
    let page = nginx.url("/index.html");

    let line = fetch.run(["--json", "-X", "HEAD", &page]).expect(0).line();
    assert_eq!(line.header("content-length"), Some(&*PAGE.len().to_string()));
    assert_eq!((line.status(), line.body()), (Some(200), vec![]));

    let line = fetch.run(["--json", "-H", "range: bytes=2-8", &page]).expect(0).line();
    assert_eq!((line.status(), line.body()), (Some(206), PAGE.as_bytes()[2..9].to_vec()));

    let dir = TempDir::new("fetch-post");
    let mut data = File::create(dir.file("data")).unwrap();
    data.write_all(&[b'x'; 200_000]).unwrap();
    let from = format!("@{}", dir.file("data").display());
    let ended = fetch.run(["-d", &from, "-H", "x-word: hello", &nginx.url("/echo")]).expect(0);
    assert_eq!(ended.text(), "POST 200000 hello");

    let line = fetch.run(["--json", &nginx.url("/none")]).expect(0).line();
    assert_eq!(line.status(), Some(404));
    let line = fetch.run(["--json", &nginx.url("/moved")]).expect(0).line();
    assert_eq!(line.status(), Some(302));
    let line = fetch.run(["--json", "-d", "to a file", &page]).expect(0).line();
    assert_eq!(line.status(), Some(405));
}

fn an_nginx_that_goes_fails_each_call(fetch: &Program) {
    let Some(mut nginx) = Nginx::start() else { return };
    let url = nginx.url("/index.html");
    let args = ["--json", "--repeat", "20000", "--concurrency", "32", "--timeout", "10s", &url];
    let mut running = fetch.start(args);
    let mut stdout = running.stdout();
    let mut text = vec![0; 100_000];
    stdout.read_exact(&mut text).unwrap(); // some hundred calls; the pipe holds up the rest
    nginx.stop();
    stdout.read_to_end(&mut text).unwrap();
    let ended = running.end().expect(1);
    let text = String::from_utf8(text).unwrap();
    let failed = text.lines().filter(|line| line.contains("\"error\"")).count();
    assert_eq!(text.lines().count(), 20_000, "each call has a line");
    assert!(0 < failed && failed < 20_000, "{failed}");
    assert_eq!(ended.complaints(), failed);
}

/// The file of the authority that has issued its certificate.
fn ca(nginx: &Nginx) -> String {
    let file = nginx.file("ca.pem");
    fs::write(&file, certs::authority().pem()).unwrap();
    file.display().to_string()
}

/// Whether two files have the same bytes. A checksum that agrees says less.
fn same(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (File::open(one).unwrap(), File::open(other).unwrap());
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut length = 0;
    loop {
        let read = one.read(&mut a).unwrap();
        if read == 0 {
            return other.read(&mut b).unwrap() == 0 && length == BIG_LEN;
        }
        if other.read_exact(&mut b[..read]).is_err() || a[..read] != b[..read] {
            return false;
        }
        length += read;
    }
}
