//! A caller gives up, and the read that it waited for goes on without it.
//!
//! `cargo run -p book-programs --example abandoned_read`
//!
//! Nothing ends a thread that sleeps in `read` but the bytes that it waits for, the peer's close,
//! or a limit that was set on the socket before.

use std::{
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::Duration,
};

fn main() -> Result<(), Box<dyn Error>> {
    let stops = Arc::new(Barrier::new(2));
    let server = book_programs::serve_crowd(1, stops.clone())?;
    let (result, answer) = mpsc::channel();
    let reader = thread::spawn(move || -> std::io::Result<usize> {
        let mut socket = TcpStream::connect(server)?;
        socket.write_all(b"GET /quotes/7 HTTP/1.1\r\nhost: quotes\r\n\r\n")?;
        let mut buffer = [0; 4096];
        let n = socket.read(&mut buffer)?;
        // The caller may have left. Then there is nobody to tell.
        let heard = result.send(buffer[..n].to_vec()).is_ok();
        println!(
            "reader: {}",
            if heard { "answered" } else { "an answer, and nobody wants it" }
        );
        Ok(n)
    });
    stops.wait(); // the server has the request, and does not answer

    match answer.recv_timeout(Duration::from_millis(100)) {
        Ok(_) => println!("caller: answered"),
        Err(_) => println!("caller: gave up"),
    }
    drop(answer);
    println!("reader: {}", if reader.is_finished() { "ended" } else { "still asleep in read" });

    stops.wait(); // only the other side can wake it
    let n = reader.join().map_err(|_| "the reading thread panicked")??;
    println!("caller: the reader slept until {n} bytes came");
    Ok(())
}
