//! `ackline help TOPIC`: the pages that the README names, as they are, and the help of commands.

use clap::CommandFactory;

use super::{Cli, Failure};

/// In the README's order.
const TOPICS: [(&str, &str); 14] = [
    ("moves", include_str!("moves.md")),
    ("votes", include_str!("votes.md")),
    ("requirements", include_str!("requirements.md")),
    ("binlog", include_str!("binlog.md")),
    ("recovery", include_str!("recovery.md")),
    ("provision", include_str!("provision.md")),
    ("verify", include_str!("verify.md")),
    ("statements", include_str!("statements.md")),
    ("tls", include_str!("tls.md")),
    ("passwords", include_str!("passwords.md")),
    ("limits", include_str!("limits.md")),
    ("figures", include_str!("figures.md")),
    ("testing", include_str!("testing.md")),
    ("leaving", include_str!("leaving.md")),
];

/// A topic is a page, or else a command.
pub(super) fn run(words: &[String]) -> Result<(), Failure> {
    let mut command = Cli::command();
    let Some(first) = words.first() else {
        command.print_long_help()?;
        println!("\nPages: ackline help {}", names().join(" | "));
        return Ok(());
    };
    if let [topic] = words
        && let Some((_, page)) = TOPICS.iter().find(|(name, _)| name == topic)
    {
        print!("{page}");
        if command.find_subcommand(topic).is_some() {
            println!("\nThe command's options: ackline {topic} --help");
        }
        return Ok(());
    }
    let mut found = &mut command;
    for word in words {
        found = found
            .find_subcommand_mut(word)
            .ok_or_else(|| unknown(first))?;
    }
    found.print_long_help()?;
    Ok(())
}

fn names() -> Vec<&'static str> {
    TOPICS.iter().map(|(name, _)| *name).collect()
}

fn unknown(word: &str) -> Failure {
    let pages = names().join(", ");
    Failure::Usage(anyhow::anyhow!(
        "there is neither a page nor a command '{word}'; the pages are {pages}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_names_each_page() {
        let readme = include_str!("../../../README.md");
        for (name, page) in TOPICS {
            let link = format!("| [{name}](src/cli/help/{name}.md) |");
            assert!(readme.contains(&link), "{link}");
            assert!(page.starts_with("# "), "{name}");
        }
    }

    #[test]
    fn a_page_a_command_or_a_mistake() {
        let run = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            run(&words)
        };
        for known in [
            &["tls"][..],
            &["binlog"],
            &["binlog", "dump"],
            &["serve"],
            &[],
        ] {
            assert!(run(known).is_ok(), "{known:?}");
        }
        for wrong in [&["nonsense"][..], &["tls", "x"]] {
            assert!(matches!(run(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }
}
