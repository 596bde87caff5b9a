//! `run`: a command that the reader is told to run, with what it printed when it was recorded.
//!
//! Attributes stand in brackets before the command:
//! - `status=N`: the exit status that it must have (0 if not said);
//! - `output=none`: show no output; `output=exact`: a check fails if it prints anything else;
//! - `head=N`: show the first N lines of the output;
//! - `with="command"`: a command to be started before, until it prints a line, and ended after;
//! - `seconds=N`: how long a check lets it run (300 if not said);
//! - `by="file"`: a script of the workspace that runs it, in the place of this tool's check.

use super::{Chapter, Expanded, Weaver};
use crate::commands::{Command, Output, elsewhere, recording};
use crate::directive::Directive;
use crate::render::html::{escape, plural};

/// Shows a command and its recorded output.
pub fn run(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    let command = Command::read(directive)?;
    elsewhere::check(weaver.tree.root(), &command)?;
    let mut html = format!(
        "<figure class=\"w-run\">\n<pre tabindex=\"0\"><code class=\"nohighlight hljs w-command\">{}</code></pre>\n",
        escape(&command.line)
    );
    if command.output != Output::None {
        let recorded = recording::load(&weaver.book, &command)?;
        let lines: Vec<&str> = recorded.output.lines().collect();
        let shown = command.head.unwrap_or(lines.len()).min(lines.len());
        html.push_str("<pre class=\"w-output\" tabindex=\"0\">");
        for line in &lines[..shown] {
            html.push_str(&format!("<span class=\"l\">{}\n</span>", escape(line)));
        }
        html.push_str("</pre>\n");
        if shown < lines.len() {
            let rest = plural(lines.len() - shown, "more line");
            html.push_str(&format!("<p class=\"w-gap\">{rest}</p>\n"));
        }
    }
    html.push_str("</figure>\n");
    Ok(html)
}
