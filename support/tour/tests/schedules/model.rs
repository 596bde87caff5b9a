//! Predicts what is seen after each act, from the rules in `client-core` alone.
//!
//! It is a fourth client, without I/O: the shared pool and the shared rules, and an I/O model in
//! which everything happens at once. Its prediction is how the player knows that a real client has
//! come to rest: it has when all is seen that will be seen. It also chooses the acts, since only it
//! knows what is possible.

use std::collections::BTreeMap;

use client_core::{
    Allowance, CloseReason, Config, ErrorKind, Failure, Origin as Address, Outcome, PoolStats,
    Upload,
    decode::KeepAlive,
    may_retry,
    pool::{Action, Limits, Pool, SlotId, WaiterId},
};
use http::Method;

use crate::{
    exceptions::Exception,
    schedule::{
        Act, Addresses, Framing, Head, Kind, Origin, Says, Schedule, Send, Settings, Size,
        Wish, piece,
    },
    seen::{CallSeen, ConnectionSeen, End, HeadSeen, Lookup, RequestSeen, Seen},
};

/// What is played, with what has to be seen after each act.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) settings: Settings,
    pub(crate) steps: Vec<Step>,
    /// Wishes that were left out, and why.
    pub(crate) left_out: Vec<Exception>,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) act: Act,
    pub(crate) seen: Seen,
}

#[derive(Clone)]
pub(crate) struct Model {
    settings: Settings,
    config: Config,
    pool: Pool<usize>,
    calls: Vec<Call>,
    connections: Vec<Connection>,
    /// For each origin, the attempts under way, the oldest first.
    attempts: Vec<Vec<SlotId>>,
    /// For each origin, whether this act has begun a lookup.
    begun: Vec<bool>,
    /// An attempt was given up whose lookup another one needs still.
    unseen_end: bool,
    seen: Seen,
}

#[derive(Clone, Debug)]
struct Call {
    method: &'static str,
    size: Size,
    attempts: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Waiting(WaiterId),
    Served(usize),
    Over,
}

#[derive(Clone, Debug)]
struct Connection {
    slot: SlotId,
    allowance: Allowance,
    exchange: Option<Exchange>,
}

#[derive(Clone, Copy, Debug)]
struct Exchange {
    call: usize,
    reused: bool,
    may_be_stale: bool,
    response: Option<Response>,
}

#[derive(Clone, Copy, Debug)]
struct Response {
    head: Head,
    sent: usize,
    /// It waits for the rest of the upload.
    whole: bool,
}

type Result<T = ()> = std::result::Result<T, Exception>;

impl Script {
    /// Turns wishes into acts. At the end the callers that are left give up, and the client is
    /// closed.
    pub(crate) fn of(schedule: &Schedule) -> Self {
        let mut script = Script::new(&schedule.settings);
        let mut model = Model::new(&schedule.settings);
        for wish in &schedule.wishes {
            if let Some(act) = model.act(*wish) {
                script.add(&mut model, act);
            }
        }
        script.finish(model)
    }

    /// These acts, and the end as above.
    ///
    /// # Panics
    ///
    /// If an act is an exception.
    pub(crate) fn fixed(settings: &Settings, acts: &[Act]) -> Self {
        let mut script = Script::new(settings);
        let mut model = Model::new(settings);
        for act in acts {
            script.add(&mut model, act.clone());
        }
        assert_eq!(script.left_out, []);
        script.finish(model)
    }

    fn new(settings: &Settings) -> Self {
        Script { settings: settings.clone(), steps: Vec::new(), left_out: Vec::new() }
    }

    fn add(&mut self, model: &mut Model, act: Act) {
        let mut next = model.clone();
        let mut before = model.seen.clone();
        before.settle();
        match next.play(&act) {
            // Nothing would tell when it has come to rest: a close while nothing is idle.
            Ok(()) if next.seen == before => {}
            Ok(()) => {
                *model = next;
                self.steps.push(Step { act, seen: model.seen.clone() });
            }
            Err(exception) => self.left_out.push(exception),
        }
    }

    fn finish(mut self, mut model: Model) -> Self {
        for call in 0..model.calls.len() {
            if model.calls[call].stage != Stage::Over {
                self.add(&mut model, Act::GiveUp { call });
            }
        }
        if !model.pool.is_closing() {
            self.add(&mut model, Act::Close);
        }
        self
    }

    /// The last of what is seen.
    pub(crate) fn end(&self) -> &Seen {
        &self.steps.last().expect("an act").seen
    }
}

// ===== the choice of an act =====

impl Model {
    fn new(settings: &Settings) -> Self {
        let config = settings.config();
        let origins = settings.origins.len();
        let seen = Seen { lookups: vec![Lookup::Nothing; origins], ..Seen::default() };
        Model {
            pool: Pool::new(Limits::from(&config)),
            settings: settings.clone(),
            config,
            calls: Vec::new(),
            connections: Vec::new(),
            attempts: vec![Vec::new(); origins],
            begun: vec![false; origins],
            unseen_end: false,
            seen,
        }
    }

    /// An act of this kind, if there is one that is possible now.
    fn act(&self, wish: Wish) -> Option<Act> {
        let choice = wish.choice as usize;
        let more = choice / 1024;
        let pick = |of: Vec<usize>| (!of.is_empty()).then(|| of[choice % 1024 % of.len()]);
        let open = |test: &dyn Fn(&Connection) -> bool| {
            let all = self.connections.iter().zip(&self.seen.connections).enumerate();
            let open = all.filter(|(_, (connection, seen))| !seen.ended && test(connection));
            open.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let asked = |connection: &Connection| {
            connection.exchange.is_some_and(|exchange| exchange.response.is_none())
        };
        Some(match wish.kind {
            Kind::Start => self.start(choice),
            Kind::Resolve => {
                let held = |origin: &usize| {
                    self.settings.origins[*origin] == Origin::Held
                        && !self.attempts[*origin].is_empty()
                };
                let addresses = match more % 8 {
                    0 => Addresses::RefusingThenServing,
                    1 => Addresses::Refusing,
                    2 => Addresses::Missing,
                    _ => Addresses::Serving,
                };
                let origin = pick((0..self.attempts.len()).filter(held).collect())?;
                Act::Resolve { origin, addresses }
            }
            Kind::Answer => self.answer(pick(open(&asked))?, more),
            Kind::Head => {
                let connection = pick(open(&asked))?;
                let head = Head { framing: framing(more), says: says(more / 8) };
                let pieces = match head.framing {
                    Framing::Length(_) => 0,
                    _ => more / 256 % 3,
                };
                let head = Some(head);
                Act::Send(Send { connection, head, pieces, end: false, more: false })
            }
            Kind::Pieces => self.pieces(pick(open(&|c| c.sends_body()))?, more),
            Kind::ReadRest => {
                let rest = |c: &Connection| c.exchange.is_some_and(|e| !self.is_whole(e.call));
                Act::ReadRest { connection: pick(open(&rest))? }
            }
            Kind::Noise => Act::Noise { connection: pick(open(&|c| c.exchange.is_none()))? },
            Kind::Shut => Act::Shut { connection: pick(open(&|_| true))? },
            Kind::Reset => Act::Reset { connection: pick(open(&|_| true))? },
            Kind::GiveUp => {
                let live = |call: &usize| self.calls[*call].stage != Stage::Over;
                Act::GiveUp { call: pick((0..self.calls.len()).filter(live).collect())? }
            }
            Kind::Close if self.pool.is_closing() => return None,
            Kind::Close => Act::Close,
        })
    }

    fn start(&self, choice: usize) -> Act {
        let (method, size) = match choice % 64 {
            0..32 => ("GET", Size::Nothing),
            32..42 => ("PUT", Size::Small),
            42..60 => ("POST", Size::Small),
            60..62 => ("PUT", Size::Upload),
            _ => ("POST", Size::Upload),
        };
        Act::Start { origin: choice / 64 % self.settings.origins.len(), method, size }
    }

    /// A whole response, at once.
    fn answer(&self, connection: usize, choice: usize) -> Act {
        let head = Head { framing: framing(choice), says: says(choice / 8) };
        let (pieces, end) = match head.framing {
            Framing::Length(pieces) => (pieces, true),
            Framing::Chunked => (choice / 256 % 4, true),
            Framing::UntilClose => (choice / 256 % 4, false),
        };
        let call = self.connections[connection].exchange.map(|exchange| exchange.call);
        let sent = call.is_some_and(|call| self.is_whole(call));
        let more = end && sent && (choice / 1024).is_multiple_of(16);
        Act::Send(Send { connection, head: Some(head), pieces, end, more })
    }

    /// Some more of a body, or its end.
    fn pieces(&self, connection: usize, choice: usize) -> Act {
        let response = self.connections[connection].exchange.and_then(|e| e.response);
        let Some(Response { head, sent, .. }) = response else {
            unreachable!("a response is under way");
        };
        let (pieces, end) = match head.framing {
            Framing::Length(all) => {
                let pieces = 1 + choice % (all - sent);
                (pieces, sent + pieces == all)
            }
            Framing::Chunked => {
                let end = choice.is_multiple_of(3);
                (usize::from(!end) + choice / 4 % 3, end)
            }
            Framing::UntilClose => (1 + choice % 3, false),
        };
        Act::Send(Send { connection, head: None, pieces, end, more: false })
    }

    /// Whether the server has read all of a request, the last time that it was sent.
    fn is_whole(&self, call: usize) -> bool {
        let Stage::Served(connection) = self.calls[call].stage else { return false };
        self.seen.connections[connection].requests.last().is_some_and(|request| request.whole)
    }
}

fn framing(choice: usize) -> Framing {
    match choice % 8 {
        0..4 => Framing::Length(1 + choice / 4096 % 4),
        4..7 => Framing::Chunked,
        _ => Framing::UntilClose,
    }
}

fn says(choice: usize) -> Says {
    match choice % 16 {
        0 => Says::Close,
        1 => Says::NoTime,
        2 => Says::Uses(1),
        3 => Says::Uses(0),
        _ => Says::Nothing,
    }
}

impl Connection {
    fn sends_body(&self) -> bool {
        let response = self.exchange.and_then(|exchange| exchange.response);
        response.is_some_and(|response| !response.whole)
    }
}

// ===== what an act does =====

impl Model {
    fn play(&mut self, act: &Act) -> Result {
        self.begun.fill(false);
        self.seen.settle();
        match *act {
            Act::Start { origin, method, size } => self.checkout(origin, method, size)?,
            Act::Resolve { origin, addresses } => self.resolve(origin, addresses)?,
            Act::Send(send) => self.send(send)?,
            Act::ReadRest { connection } => self.read_rest(connection)?,
            Act::Noise { connection } => self.close(connection, CloseReason::Unsolicited)?,
            Act::Shut { connection } => {
                self.end_of_stream(connection, CloseReason::PeerClosed)?
            }
            Act::Reset { connection } => self.end_of_stream(connection, CloseReason::Reset)?,
            Act::GiveUp { call } => self.give_up(call)?,
            Act::Close => {
                self.pool.close();
                self.settle()?;
            }
        }
        let stats = self.pool.stats();
        if self.unseen_end && stats.connecting == self.seen.stats.connecting {
            return Err(Exception::AbandonedAtOnce);
        }
        self.unseen_end = false;
        self.seen.stats = stats;
        self.seen.closed = self.pool.is_over();
        for (origin, lookup) in self.seen.lookups.iter_mut().enumerate() {
            let held = self.settings.origins[origin] == Origin::Held;
            *lookup = match (held && !self.attempts[origin].is_empty(), *lookup) {
                (false, _) => Lookup::Nothing,
                (true, Lookup::Pending) if self.begun[origin] => Lookup::Renewed,
                (true, _) => Lookup::Pending,
            };
        }
        Ok(())
    }

    fn checkout(&mut self, origin: usize, method: &'static str, size: Size) -> Result {
        let call = self.calls.len();
        self.seen.calls.push(CallSeen::default());
        let stage = match self.pool.checkout(&address(origin), call) {
            Ok(waiter) => Stage::Waiting(waiter),
            Err((_, error)) => {
                self.seen.calls[call].end = End::Failed(error.kind());
                Stage::Over
            }
        };
        self.calls.push(Call { method, size, attempts: 0, stage });
        self.settle()
    }

    fn resolve(&mut self, origin: usize, addresses: Addresses) -> Result {
        let attempts = std::mem::take(&mut self.attempts[origin]);
        let others = orders(&attempts);
        let before = self.clone();
        self.resolve_in_order(origin, addresses, &attempts)?;
        let (from, to) = (before.connections.len(), self.connections.len());
        let expected = self.renamed(from..to);
        for order in others {
            let mut other = before.clone();
            other.resolve_in_order(origin, addresses, &order)?;
            // Several new connections can only be told apart by the requests that they serve.
            if expected.is_none() || expected != other.renamed(from..to) {
                return Err(Exception::SimultaneousAttempts);
            }
        }
        // Which of several attempts has joined a lookup cannot be seen.
        if attempts.len() > 1 && !self.attempts[origin].is_empty() {
            return Err(Exception::SimultaneousAttempts);
        }
        Ok(())
    }

    fn resolve_in_order(
        &mut self,
        origin: usize,
        addresses: Addresses,
        attempts: &[SlotId],
    ) -> Result {
        for slot in attempts {
            match addresses {
                Addresses::Serving | Addresses::RefusingThenServing => {
                    self.connected(*slot, origin)?;
                }
                Addresses::Refusing => self.connect_failed(*slot, ErrorKind::Connect)?,
                Addresses::Missing => self.connect_failed(*slot, ErrorKind::Resolve)?,
            }
        }
        Ok(())
    }

    /// What is seen, with new connections named by the first call that they serve. `None` if one of
    /// them has served none.
    fn renamed(&self, new: std::ops::Range<usize>) -> Option<(PoolStats, Seen)> {
        let mut seen = self.seen.clone();
        let mut names = BTreeMap::new();
        let mut by_call = BTreeMap::new();
        for index in new.clone() {
            let first = seen.connections[index].requests.first()?.call;
            names.insert(index, 1_000 + first);
            by_call.insert(first, seen.connections[index].clone());
        }
        seen.connections.truncate(new.start);
        seen.connections.extend(by_call.into_values());
        for head in seen.calls.iter_mut().filter_map(|call| call.head.as_mut()) {
            if let Some(name) = names.get(&head.connection) {
                head.connection = *name;
            }
        }
        Some((self.pool.stats(), seen))
    }

    fn connected(&mut self, slot: SlotId, origin: usize) -> Result {
        let number = self.pool.connected(slot);
        assert_eq!(number as usize, self.connections.len() + 1);
        self.connections.push(Connection {
            slot,
            allowance: Allowance::default(),
            exchange: None,
        });
        self.seen.connections.push(ConnectionSeen { origin, ..ConnectionSeen::default() });
        self.settle()
    }

    fn connect_failed(&mut self, slot: SlotId, kind: ErrorKind) -> Result {
        if let Some(call) = self.pool.connect_failed(slot) {
            self.end_call(call, End::Failed(kind));
        }
        self.settle()
    }

    fn send(&mut self, send: Send) -> Result {
        let Some(mut exchange) = self.connections[send.connection].exchange else {
            unreachable!("an exchange is under way");
        };
        let call = exchange.call;
        if let Some(head) = send.head {
            exchange.response = Some(Response { head, sent: 0, whole: false });
            let whole = self.is_whole(call);
            self.seen.calls[call].head = Some(HeadSeen {
                connection: send.connection,
                reused: exchange.reused,
                attempts: self.calls[call].attempts,
                upload: if whole { Upload::Whole } else { Upload::Pending },
            });
        }
        let response = exchange.response.as_mut().expect("a head");
        let pieces = (response.sent..response.sent + send.pieces).map(piece);
        let received = &mut self.seen.calls[call].pieces;
        match response.head.framing {
            Framing::Chunked => received.extend(pieces),
            // They are one stretch of bytes, which one read receives.
            _ if send.pieces > 0 => received.push(pieces.collect()),
            _ => {}
        }
        response.sent += send.pieces;
        self.connections[send.connection].exchange = Some(exchange);
        if send.end {
            return self.finish(send.connection, None, send.more);
        }
        Ok(())
    }

    /// The response is whole.
    fn finish(
        &mut self,
        connection: usize,
        ceased: Option<CloseReason>,
        surplus_bytes: bool,
    ) -> Result {
        let index = connection;
        let connection = &mut self.connections[index];
        let exchange = connection.exchange.as_mut().expect("an exchange");
        let (call, response) = (exchange.call, exchange.response.as_mut().expect("a response"));
        response.whole = true;
        let keep_alive = response.head.keep_alive();
        let sent = self.seen.connections[index].requests.last().is_some_and(|last| last.whole);
        let upload = Upload::at_response_end(sent, ceased.is_some(), keep_alive);
        if upload == Upload::Pending {
            return Ok(());
        }
        let outcome = Outcome { upload, ceased, close: false, keep_alive, surplus_bytes };
        connection.exchange = None;
        let (slot, after) =
            (connection.slot, connection.allowance.after(outcome, &self.config));
        self.end_call(call, End::Whole);
        if after.is_ok() {
            self.pool.checkin(slot);
            self.settle()
        } else {
            self.close(index, after.expect_err("a reason"))
        }
    }

    fn read_rest(&mut self, connection: usize) -> Result {
        let last = self.seen.connections[connection].requests.last_mut();
        last.expect("a request").whole = true;
        let exchange = self.connections[connection].exchange.expect("an exchange");
        if let Some(head) = &mut self.seen.calls[exchange.call].head {
            head.upload = Upload::Whole;
        }
        match exchange.response {
            Some(response) if response.whole => self.finish(connection, None, false),
            _ => Ok(()),
        }
    }

    /// The server closes or resets a connection.
    fn end_of_stream(&mut self, connection: usize, reason: CloseReason) -> Result {
        let Some(exchange) = self.connections[connection].exchange else {
            return self.close(connection, reason);
        };
        let call = exchange.call;
        match exchange.response {
            Some(response) if response.whole => self.finish(connection, Some(reason), false),
            Some(Response { head: Head { framing: Framing::UntilClose, .. }, .. })
                if reason == CloseReason::PeerClosed =>
            {
                self.finish(connection, None, false)
            }
            Some(_) => {
                self.end_call(call, End::Failed(ErrorKind::ClosedEarly));
                self.close(connection, reason)
            }
            None => self.no_response(connection, exchange, reason),
        }
    }

    fn no_response(
        &mut self,
        connection: usize,
        exchange: Exchange,
        reason: CloseReason,
    ) -> Result {
        let call = &self.calls[exchange.call];
        let failure = Failure {
            reason,
            may_be_stale: exchange.may_be_stale,
            written: true,
            answered: false,
            retried: call.attempts > 1,
        };
        let method = Method::from_bytes(call.method.as_bytes()).expect("a method");
        if !may_retry(&method, failure) {
            self.end_call(exchange.call, End::Failed(ErrorKind::ClosedEarly));
            return self.close(connection, reason);
        }
        self.seen.connections[connection].ended = true;
        self.connections[connection].exchange = None;
        // The waiter is the same again, and has its number still.
        self.pool.retry(self.connections[connection].slot, exchange.call, reason);
        self.find_waiter(exchange.call);
        self.settle()
    }

    fn give_up(&mut self, call: usize) -> Result {
        let stage = self.calls[call].stage;
        let answered = self.seen.calls[call].head.is_some();
        let head = self.seen.calls[call].head;
        self.end_call(call, End::GivenUp);
        self.seen.calls[call].head = head;
        match stage {
            Stage::Waiting(waiter) => {
                self.pool.cancel(waiter);
                self.settle()
            }
            Stage::Served(connection) if answered => {
                self.close(connection, CloseReason::BodyDropped)
            }
            Stage::Served(connection) => self.close(connection, CloseReason::Cancelled),
            Stage::Over => unreachable!("the call is not over"),
        }
    }

    fn end_call(&mut self, call: usize, end: End) {
        let whole = self.is_whole(call);
        self.calls[call].stage = Stage::Over;
        let seen = &mut self.seen.calls[call];
        seen.end = end;
        if let Some(head) = &mut seen.head {
            head.upload = if whole { Upload::Whole } else { Upload::Cut };
        }
    }

    fn close(&mut self, connection: usize, reason: CloseReason) -> Result {
        self.seen.connections[connection].ended = true;
        self.connections[connection].exchange = None;
        self.pool.closed(self.connections[connection].slot, reason);
        self.settle()
    }

    /// Carries out what the pool decides, and what follows from it at once.
    fn settle(&mut self) -> Result {
        loop {
            while let Some(action) = self.pool.poll_action() {
                self.carry_out(action)?;
            }
            let prompt = |origin: &usize| self.settings.origins[*origin] != Origin::Held;
            let prompt = (0..self.attempts.len()).filter(prompt);
            let prompt: Vec<_> = prompt
                .flat_map(|origin| {
                    self.attempts[origin].iter().map(move |slot| (origin, *slot))
                })
                .collect();
            match prompt[..] {
                [] => return Ok(()),
                [(origin, slot)] => {
                    self.attempts[origin].clear();
                    match self.settings.origins[origin] {
                        Origin::Refusing => self.connect_failed(slot, ErrorKind::Connect)?,
                        _ => self.connected(slot, origin)?,
                    }
                }
                _ => return Err(Exception::SimultaneousAttempts),
            }
        }
    }

    fn carry_out(&mut self, action: Action) -> Result {
        match action {
            Action::Wait { .. } => {}
            Action::Connect { slot, origin, .. } => {
                let index = (0..self.attempts.len()).find(|index| address(*index) == origin);
                let index = index.expect("an origin of the schedule");
                self.begun[index] |= self.attempts[index].is_empty();
                self.attempts[index].push(slot);
            }
            Action::Abandon { slot } => self.abandon(slot)?,
            Action::Serve { slot } => self.serve(slot),
            Action::Idle { slot } => {
                let connection = self.find(slot);
                self.connections[connection].allowance.mark_idle();
            }
            Action::Close { slot, reason } => {
                let connection = self.find(slot);
                self.seen.connections[connection].ended = true;
                self.pool.closed(slot, reason);
            }
        }
        Ok(())
    }

    fn abandon(&mut self, slot: SlotId) -> Result {
        let has = |attempts: &Vec<SlotId>| attempts.contains(&slot);
        let origin = self.attempts.iter().position(has).expect("an attempt");
        if self.settings.origins[origin] != Origin::Held {
            return Err(Exception::AbandonedAtOnce);
        }
        self.attempts[origin].retain(|attempt| *attempt != slot);
        self.unseen_end |= !self.attempts[origin].is_empty();
        self.pool.connect_failed(slot);
        Ok(())
    }

    fn serve(&mut self, slot: SlotId) {
        let Some((_, call)) = self.pool.take(slot) else { return };
        let index = self.find(slot);
        let connection = &mut self.connections[index];
        let reused = self.pool.begin(slot);
        let (also_reused, may_be_stale) = connection.allowance.begin();
        assert_eq!(reused, also_reused);
        connection.exchange = Some(Exchange { call, reused, may_be_stale, response: None });
        let Call { method, size, attempts, stage, .. } = &mut self.calls[call];
        *attempts += 1;
        *stage = Stage::Served(index);
        self.seen.connections[index].requests.push(RequestSeen {
            call,
            method: method.to_ascii_lowercase(),
            whole: *size != Size::Upload,
        });
    }

    fn find(&self, slot: SlotId) -> usize {
        let found = self.connections.iter().position(|connection| connection.slot == slot);
        found.expect("a connection")
    }

    fn find_waiter(&mut self, call: usize) {
        for waiter in self.pool.waiters() {
            if self.pool.request_mut(waiter).copied() == Some(call) {
                self.calls[call].stage = Stage::Waiting(waiter);
            }
        }
    }
}

impl Head {
    /// What [`client_core::Decoder::keep_alive`] makes of it.
    fn keep_alive(self) -> Option<KeepAlive> {
        let keep = match self.says {
            Says::Nothing => KeepAlive::default(),
            Says::Close | Says::NoTime | Says::Uses(0) => return None,
            Says::Uses(uses) => KeepAlive { max: Some(uses), ..KeepAlive::default() },
        };
        (self.framing != Framing::UntilClose).then_some(keep)
    }
}

/// All orders of a few attempts, but for the one in which they are.
fn orders(attempts: &[SlotId]) -> Vec<Vec<SlotId>> {
    let mut orders = vec![Vec::new()];
    for slot in attempts {
        let insert = |order: Vec<SlotId>| {
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, *slot);
                order
            })
        };
        orders = orders.into_iter().flat_map(insert).collect();
    }
    orders.retain(|order| order != attempts);
    orders
}

/// An origin of the model. Its pool looks at nothing but whether two are equal.
fn address(origin: usize) -> Address {
    let url = format!("http://origin{origin}.test").parse().expect("a URL");
    Address::of(&url).expect("an origin")
}
