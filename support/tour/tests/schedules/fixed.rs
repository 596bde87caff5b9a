//! Schedules that are written down, each for a difference that the stages once had.

use client_core::{CloseReason, ErrorKind};

use crate::{
    BOUND, ORIGINS, compare,
    model::Script,
    report,
    schedule::{Act, Addresses, Framing, Head, Origin, Says, Send, Settings, Size},
    seen::End,
    server::Server,
};

const GET: Act = Act::Start { origin: 0, method: "GET", size: Size::Nothing };

fn settings(total: usize, per_origin: usize, origins: &[Origin]) -> Settings {
    Settings { total, per_origin, idle_per_origin: 8, waiting: 100, origins: origins.into() }
}

fn get(origin: usize) -> Act {
    Act::Start { origin, method: "GET", size: Size::Nothing }
}

/// A whole response of one piece.
fn answer(connection: usize, says: Says) -> Act {
    let head = Some(Head { framing: Framing::Length(1), says });
    Act::Send(Send { connection, head, pieces: 1, end: true, more: false })
}

/// Plays it to the three clients. What is predicted is returned, to be compared with what the
/// schedule is about.
fn play(settings: &Settings, acts: &[Act]) -> Script {
    let script = Script::fixed(settings, acts);
    let mut server = Server::start(ORIGINS).expect("a server");
    let departures = compare(&script, &mut server, BOUND);
    let same = departures.iter().all(|(_, departure)| departure.is_none());
    assert!(same, "{}", report::describe(&script, &departures));
    script
}

/// Six connections in all: origins 0, 1 and 2 hold two, one and three. Origin 1 has less than its
/// share, and its waiter is older, so it gets the connection that origin 0 gives up.
#[test]
fn an_origin_below_its_share_gets_the_slot_of_another() {
    let mut acts = Vec::new();
    for origin in [0, 0, 1, 2, 2, 2, 1, 0] {
        acts.push(get(origin));
    }
    acts.push(answer(0, Says::Nothing));
    let script = play(&settings(6, 3, &[Origin::Prompt; 3]), &acts);
    let seen = &script.steps[acts.len() - 1].seen;
    assert_eq!(seen.stats.closed(CloseReason::Evicted), 1);
    let last = seen.connections.last().expect("a connection");
    assert_eq!((last.origin, last.requests[0].call, seen.stats.waiting), (1, 6, 1));
}

/// The server leaves no time for another request, so each call needs a connection of its own.
#[test]
fn a_server_that_leaves_no_time_gets_a_connection_for_each_call() {
    let mut acts = Vec::new();
    for connection in 0..20 {
        acts.extend([GET, answer(connection, Says::NoTime)]);
    }
    let script = play(&settings(4, 4, &[Origin::Prompt]), &acts);
    let stats = &script.end().stats;
    assert_eq!((stats.created, stats.closed(CloseReason::PeerAsked)), (20, 20));
}

/// A connection is made for a waiter that is served elsewhere meanwhile. It is idle before its first
/// use, so its server may have closed it as the request came, and the request is sent again.
#[test]
fn a_connection_that_idled_before_its_first_use_may_be_stale() {
    let connects = Act::Resolve { origin: 0, addresses: Addresses::Serving };
    for end in [Act::Shut { connection: 1 }, Act::Reset { connection: 1 }] {
        let acts = [
            GET,
            connects.clone(),
            GET,
            answer(0, Says::Nothing),
            connects.clone(),
            GET,
            end,
            connects.clone(),
            answer(2, Says::Nothing),
        ];
        let script = play(&settings(2, 2, &[Origin::Held]), &acts);
        let seen = &script.steps[acts.len() - 1].seen;
        let head = seen.calls[2].head.expect("a head");
        assert_eq!((head.connection, head.attempts, seen.stats.retried), (2, 2, 1));
    }
}

/// The same without the pause: the request may have been lost for another reason.
#[test]
fn a_connection_that_is_used_at_once_is_not_stale() {
    let script = play(&settings(2, 2, &[Origin::Prompt]), &[GET, Act::Shut { connection: 0 }]);
    assert_eq!(script.end().stats.retried, 0);
}

/// Chunks that one read receives stay pieces of their own, behind the head and later.
#[test]
fn chunks_that_come_at_once_are_not_merged() {
    let head = Some(Head { framing: Framing::Chunked, says: Says::Nothing });
    let send =
        |head, pieces, end| Act::Send(Send { connection: 0, head, pieces, end, more: false });
    let acts = [GET, send(head, 2, false), send(None, 3, true), GET, send(head, 2, true)];
    let script = play(&settings(1, 1, &[Origin::Prompt]), &acts);
    let pieces: Vec<_> = script.end().calls.iter().map(|call| call.pieces.len()).collect();
    assert_eq!(pieces, [5, 2]);
}

/// A body that only the end of the connection ends is not whole if that end is a reset. During an
/// upload the system may report the reset to the write, and an orderly end to the read.
#[test]
fn a_reset_during_an_upload_does_not_end_a_body() {
    let upload = Act::Start { origin: 0, method: "POST", size: Size::Upload };
    let head = Some(Head { framing: Framing::UntilClose, says: Says::Nothing });
    let send = Act::Send(Send { connection: 0, head, pieces: 1, end: false, more: false });
    let acts = [upload, send, Act::Reset { connection: 0 }];
    let script = play(&settings(1, 1, &[Origin::Prompt]), &acts);
    assert_eq!(script.end().calls[0].end, End::Failed(ErrorKind::ClosedEarly));
}
