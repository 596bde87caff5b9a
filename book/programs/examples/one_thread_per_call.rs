//! Many blocking calls at once: each needs a thread, and each thread only sleeps.
//!
//! `cargo run -p book-programs --example one_thread_per_call [CALLS]`
//!
//! The server answers none before it has read them all, so that all calls are under way at once
//! on every machine. On Linux the program asks the kernel what that takes.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Barrier},
    thread,
};

fn call(server: SocketAddr, number: usize) -> io::Result<String> {
    let mut socket = TcpStream::connect(server)?;
    let request = format!("GET /quotes/{number} HTTP/1.1\r\nhost: {server}\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut buffer = [0; 4096];
    let n = socket.read(&mut buffer)?; // here the thread sleeps
    Ok(String::from_utf8_lossy(&buffer[..n]).into_owned())
}

/// The lines of the kernel's own account of this process that say what threads take.
fn account() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = ["Threads:", "VmSize:", "VmRSS:"];
    status.lines().filter(|line| wanted.iter().any(|w| line.starts_with(w))).fold(
        String::new(),
        |text, line| {
            text + "  " + &line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n"
        },
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let calls: usize = env::args().nth(1).map_or(Ok(200), |n| n.parse())?;
    let stops = Arc::new(Barrier::new(2));
    let server = book_programs::serve_crowd(calls, stops.clone())?;
    print!("before\n{}", account());

    let threads: Vec<_> =
        (1..=calls).map(|number| thread::spawn(move || call(server, number))).collect();
    stops.wait(); // the server has read every request, and answered none
    print!("{calls} calls, each on a thread of its own\n{}", account());
    stops.wait();

    let mut answered = 0;
    for thread in threads {
        let response = thread.join().map_err(|_| "a calling thread panicked")??;
        answered += usize::from(response.starts_with("HTTP/1.1 200"));
    }
    println!("{answered} answered");
    Ok(())
}
