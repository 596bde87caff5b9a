//! The command line of `fetch`.

use std::{ffi::OsString, fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use bytes::Bytes;
use client_core::{Config, Error, Origin, Outgoing, Roots, Scheme, Tls, tls::server_name};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use lexopt::prelude::*;

use super::pins::Pins;

/// A command line that makes sense.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) config: Config,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) data: Bytes,
    /// Each URL as it was written, for messages, and as it is sent.
    pub(super) urls: Vec<(String, Uri)>,
    pub(super) repeat: usize,
    pub(super) concurrency: usize,
    /// Print the heads of responses too.
    pub(super) head: bool,
    pub(super) json: bool,
    pub(super) trace: bool,
    /// Where bodies go instead of to standard output.
    pub(super) output: Option<PathBuf>,
}

pub(super) enum Parsed {
    Run(Box<Args>),
    Help,
}

pub(super) fn help(program: &str) -> String {
    format!(
        "Usage: {program} [OPTION]... URL...

Fetches each URL; bodies go to standard output, messages to standard error.

  -X METHOD                 the method (default GET; POST with -d)
  -H 'Name: value'          one more header field; may be repeated
  -d DATA, -d @FILE         the body to send, or the file that holds it
  -i                        print the head of each response too
  -o FILE                   write bodies to FILE
  --json                    one line of JSON for each response, failed ones included
                            (with -o: without the body, which goes to FILE)
  --repeat N                fetch each URL N times (default 1)
  --concurrency N           calls under way at once (default 1: in the order given)
  --max-per-origin N        connections to one origin at once (default 8)
  --timeout TIME            for the whole call, queue and body included, such as 5s or 300ms
  --connect-timeout TIME    for name, TCP and TLS (default 10s)
  --max-body BYTES          the longest body that is accepted
  --cacert FILE             the only certificate authorities to trust
  --resolve HOST:PORT:ADDR[,ADDR]
                            addresses of HOST for PORT, instead of asking the system;
                            may be repeated
  --trace                   print each step of the I/O model
  --help                    print this

Exit status: 0 if every response came whole, whatever its status code; 1 if one failed;
2 for a wrong command line, such as a URL that can never be requested: nothing is sent then.
A response may come before the whole request is sent; a message says so if the rest was not
sent then, and with --json \"sent\" is false.
"
    )
}

/// Reads a command line, without the program's name.
///
/// # Errors
///
/// A message that says what was expected.
pub(super) fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut args = Args {
        config: Config::new(),
        method: Method::GET,
        headers: HeaderMap::new(),
        data: Bytes::new(),
        urls: Vec::new(),
        repeat: 1,
        concurrency: 1,
        head: false,
        json: false,
        trace: false,
        output: None,
    };
    let (mut method, mut data, mut pins) = (None, None, Pins::default());
    let mut parser = lexopt::Parser::from_args(line);
    while let Some(argument) = parser.next().map_err(sentence)? {
        match argument {
            Short('X') => method = Some(text(&mut parser)?),
            Short('H') => header(&text(&mut parser)?, &mut args.headers)?,
            Short('d') => once("-d", &mut data, value(&mut parser)?)?,
            Short('i') => args.head = true,
            Short('o') => once("-o", &mut args.output, value(&mut parser)?.into())?,
            Long("json") => args.json = true,
            Long("trace") => args.trace = true,
            Long("repeat") => args.repeat = count("--repeat", &mut parser)?,
            Long("concurrency") => args.concurrency = count("--concurrency", &mut parser)?,
            Long("max-per-origin") => {
                args.config.max_per_origin = count("--max-per-origin", &mut parser)?;
            }
            Long("max-body") => {
                args.config.max_body = Some(number("--max-body", "bytes", &mut parser)?);
            }
            Long("timeout") => {
                args.config.total_timeout = Some(time("--timeout", &text(&mut parser)?)?);
            }
            Long("connect-timeout") => {
                args.config.connect_timeout = time("--connect-timeout", &text(&mut parser)?)?;
            }
            Long("cacert") => args.config.tls = trusting(value(&mut parser)?)?,
            Long("resolve") => pins.add(&text(&mut parser)?)?,
            Long("help") => return Ok(Parsed::Help),
            Value(url) => args.urls.push(self::url(url)?),
            other => return Err(sentence(other.unexpected())),
        }
    }
    if args.urls.is_empty() {
        return Err("expected a URL, such as http://localhost/".into());
    }
    if let Some(data) = data {
        args.method = Method::POST;
        args.data = body(data)?;
    }
    if let Some(method) = method {
        args.method = Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("expected a method such as GET after -X, found {method:?}"))?;
    }
    if !pins.is_empty() {
        args.config = args.config.resolver(pins);
    }
    args.check()?;
    Ok(Parsed::Run(Box::new(args)))
}

impl Args {
    /// What is sent for a URL.
    pub(super) fn request(&self, uri: &Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.data.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Finds the request that a client would refuse to send, be it the last one.
    fn check(&self) -> Result<(), String> {
        for (_, uri) in &self.urls {
            Outgoing::new(self.request(uri)).map_err(|error| why(&error))?;
        }
        Ok(())
    }
}

/// What was expected of a request.
fn why(error: &Error) -> String {
    match error {
        Error::InvalidRequest(expected) => expected.to_string(),
        other => other.to_string(),
    }
}

// ===== values =====

fn value(parser: &mut lexopt::Parser) -> Result<OsString, String> {
    parser.value().map_err(sentence)
}

fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    let not_text = |value: OsString| format!("expected UTF-8, found {value:?}");
    value(parser)?.into_string().map_err(not_text)
}

fn number<N: FromStr>(
    option: &str,
    what: &str,
    parser: &mut lexopt::Parser,
) -> Result<N, String> {
    let text = text(parser)?;
    text.parse()
        .map_err(|_| format!("expected a number of {what} after {option}, found {text:?}"))
}

/// A number of at least 1.
fn count(option: &str, parser: &mut lexopt::Parser) -> Result<usize, String> {
    match number(option, "at least 1", parser)? {
        0 => Err(format!("expected a number of at least 1 after {option}, found \"0\"")),
        count => Ok(count),
    }
}

/// A length of time such as `5s`, `1.5s`, `300ms` or `2m`; a bare number is in seconds.
fn time(option: &str, text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let seconds = match &text[unit..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        _ => f64::NAN,
    };
    let number = text[..unit].parse().unwrap_or(f64::NAN);
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(format!("expected a time such as 5s or 300ms after {option}, found {text:?}")),
    }
}

fn header(line: &str, headers: &mut HeaderMap) -> Result<(), String> {
    let wrong = || format!("expected 'Name: value' after -H, found {line:?}");
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    headers.try_append(name, value).map_err(|_| "expected fewer fields after -H".to_owned())?;
    Ok(())
}

fn url(text: OsString) -> Result<(String, Uri), String> {
    let text = text.into_string().map_err(|text| format!("expected a URL, found {text:?}"))?;
    let wrong = |why: &dyn Display| {
        format!("expected a URL such as http://localhost/, found {text:?}: {why}")
    };
    let uri: Uri = text.parse().map_err(|error| wrong(&error))?;
    let origin = Origin::of(&uri).map_err(|error| wrong(&why(&error)))?;
    if origin.scheme() == Scheme::Https {
        server_name(&origin).map_err(|error| wrong(&why(&error)))?;
    }
    Ok((text, uri))
}

fn body(data: OsString) -> Result<Bytes, String> {
    let data = data.into_string().map_err(|data| format!("expected UTF-8, found {data:?}"))?;
    match data.strip_prefix('@') {
        None => Ok(data.into()),
        Some(file) => std::fs::read(file).map(Bytes::from).map_err(|error| {
            format!("expected a file that can be read after -d @: {file}: {error}")
        }),
    }
}

fn trusting(file: OsString) -> Result<Tls, String> {
    let name = file.display();
    let wrong = |why: &dyn Display| {
        format!("expected a file of PEM certificates after --cacert: {name}: {why}")
    };
    let pem = std::fs::read(&file).map_err(|error| wrong(&error))?;
    let roots = Roots::from_pem(&pem).map_err(|error| wrong(&error))?;
    Ok(Tls::new().roots(roots))
}

fn once<T>(option: &str, place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("expected {option} only once")),
    }
}

fn sentence(error: lexopt::Error) -> String {
    use lexopt::Error as E;
    match error {
        E::MissingValue { option: Some(option) } => format!("expected a value after {option}"),
        E::UnexpectedOption(option) => {
            format!("expected one of the options of --help, found {option}")
        }
        E::UnexpectedValue { option, value } => {
            format!("expected no value for {option}, found {value:?}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &[&str]) -> Result<Args, String> {
        match parse(line.iter().map(OsString::from))? {
            Parsed::Run(args) => Ok(*args),
            Parsed::Help => Err("help".into()),
        }
    }

    #[test]
    fn times_have_a_unit_or_are_seconds() {
        for (text, millis) in
            [("5s", 5000), ("300ms", 300), ("1.5s", 1500), ("2m", 120_000), ("5", 5000)]
        {
            assert_eq!(time("--timeout", text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "0s", "-1s", "5h", "5 s", "1e99s", "nan", "inf"] {
            assert!(time("--timeout", text).is_err_and(|m| m.contains("such as 5s")), "{text}");
        }
    }

    #[test]
    fn data_makes_it_a_post_unless_a_method_is_given() {
        assert_eq!(run(&["http://h/", "-d", "x"]).unwrap().method, Method::POST);
        assert_eq!(run(&["-d", "x", "-X", "PUT", "http://h/"]).unwrap().method, Method::PUT);
        assert_eq!(run(&["http://h/"]).unwrap().method, Method::GET);
    }

    #[test]
    fn fields_keep_their_order_and_lose_the_space_around_values() {
        let args = run(&["-H", "A: 1", "-H", "a:  2 ", "-H", "b:", "http://h/"]).unwrap();
        let values: Vec<_> =
            args.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(values, [("a", &b"1"[..]), ("a", b"2"), ("b", b"")]);
    }

    #[test]
    fn a_wrong_command_line_says_what_was_expected() {
        for (line, expected) in [
            (&[][..], "expected a URL"),
            (&["-X"], "expected a value after -X"),
            (&["-X", "G T", "http://h/"], "expected a method"),
            (&["-H", "no colon", "http://h/"], "expected 'Name: value'"),
            (&["-H", "a: b\r\nc: d", "http://h/"], "expected 'Name: value'"),
            (&["--repeat", "0", "http://h/"], "at least 1"),
            (&["--concurrency", "many", "http://h/"], "at least 1"),
            (&["--max-body", "-1", "http://h/"], "number of bytes"),
            (&["--json=yes", "http://h/"], "expected no value"),
            (&["--frobnicate", "http://h/"], "expected one of the options"),
            (&["-d", "a", "-d", "b", "http://h/"], "only once"),
            (&["-d", "@/no/such/file", "http://h/"], "a file that can be read"),
            (&["--cacert", "/no/such/file", "https://h/"], "a file of PEM certificates"),
            (&["--cacert", "/dev/null", "https://h/"], "a file of PEM certificates"),
            (&["--resolve", "h:80", "http://h/"], "HOST:PORT:ADDR"),
            (&["/only/a/path"], "expected a URL"),
            (&["http://a b/"], "expected a URL"),
            (&["localhost:80"], "expected a URL"),
            (&["http://h/", "ftp://h/"], "expected http or https"),
            (&["http://h/", "http://h:0/"], "a port from 1 to 65535"),
            (&["http://h:http/"], "a port from 1 to 65535"),
            (&["http://:80/"], "has no host"),
            (&["http://me@h/"], "no user or password"),
            (&["http://[h]/"], "an IPv6 address in the brackets"),
            (&["https://a!b/"], "a host that TLS can name"),
            (&["-X", "CONNECT", "http://h/"], "CONNECT is not supported"),
            (&["http://h/", "-H", "Upgrade: x"], "upgrade is not supported"),
            (&["http://h/", "-d", "x", "-H", "Content-Length: 2"], "content-length to be 1"),
            (&["-H", "Host: a", "-H", "Host: b", "http://h/"], "at most one host"),
        ] {
            let message = run(line).expect_err("a wrong command line");
            assert!(message.contains(expected), "{line:?}: {message}");
        }
    }
}
