//! What `epoll` says about a byte that nobody reads, asked both ways. Linux only.
//!
//! `cargo run -p book-programs --example level_and_edge`

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener, TcpStream},
    };

    use rustix::event::epoll;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    for (name, how) in [("level", epoll::EventFlags::empty()), ("edge", epoll::EventFlags::ET)]
    {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        client.set_nonblocking(true)?;
        let kernel = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &kernel,
            &client,
            epoll::EventData::new_u64(0),
            epoll::EventFlags::IN | how,
        )?;
        // The wait's limit: none until the bytes must come, and zero where we only look.
        let wait = |limit: Option<&_>| -> rustix::io::Result<usize> {
            let mut events = Vec::with_capacity(8);
            epoll::wait(&kernel, rustix::buffer::spare_capacity(&mut events), limit)
        };
        let look = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut byte = [0];

        println!("{name}-triggered");
        println!(
            "  read before anything came: {:?}",
            client.read(&mut byte).map_err(|e| e.kind())
        );
        server.write_all(b"42")?;
        println!("  two bytes sent: {} event", wait(None)?);
        println!("  one of them read: {:?}", client.read(&mut byte));
        println!("  wait again: {} events", wait(Some(&look))?);
        println!("  the other one read: {:?}", client.read(&mut byte));
        println!("  wait again: {} events", wait(Some(&look))?);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this program speaks to Linux's epoll");
}
