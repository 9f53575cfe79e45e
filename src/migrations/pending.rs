//! Which files a server lacks. No IO.

use super::file::Migration;

/// A row of `ackline.migrations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub number: u32,
    pub name: String,
    pub checksum: String,
}

/// Why nothing may be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{name} was applied there with another content: it has the checksum {recorded} in ackline.migrations, and {ours} in this binary"
    )]
    Changed {
        name: String,
        recorded: String,
        ours: String,
    },
    #[error(
        "{name} was applied there by a newer ackline, and this one knows no number above {newest}: use that version"
    )]
    Newer { name: String, newest: u32 },
    #[error(
        "ackline.migrations has {after} and not {name}, which comes before: somebody took its row away; put it back from a replica or a backup"
    )]
    Gap { name: String, after: String },
}

/// The files of `known` that are to be applied, in order.
pub fn pending(
    known: &'static [Migration],
    recorded: &[Recorded],
) -> Result<&'static [Migration], Refusal> {
    let newest = known.last().map_or(0, |migration| migration.number);
    let last = recorded.iter().max_by_key(|row| row.number);
    if let Some(last) = last
        && last.number > newest
    {
        return Err(Refusal::Newer {
            name: last.name.clone(),
            newest,
        });
    }
    let mut applied = 0;
    for migration in known {
        let row = recorded.iter().find(|row| row.number == migration.number);
        match (row, last) {
            (Some(row), _) => {
                let ours = migration.checksum();
                if row.checksum != ours {
                    return Err(Refusal::Changed {
                        name: row.name.clone(),
                        recorded: row.checksum.clone(),
                        ours,
                    });
                }
                applied += 1;
            }
            (None, Some(last)) if last.number > migration.number => {
                return Err(Refusal::Gap {
                    name: migration.name.to_owned(),
                    after: last.name.clone(),
                });
            }
            (None, _) => break,
        }
    }
    Ok(&known[applied..])
}
