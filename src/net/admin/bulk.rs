//! Many rows, in and out, of which no more is in memory than is on its way.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};
use tokio::sync::mpsc;

use super::Admin;
use crate::net::Error;

/// A row as the server sent it; None is NULL.
pub type Values = Vec<Option<Vec<u8>>>;

/// What is sent at once.
const PIECE: usize = 64 << 10;

impl Admin {
    /// Sends the rows of a statement as `write` puts them, and tells how many there were. Where nobody takes them they are
    /// read to their end all the same: the connection holds a snapshot. There is no deadline, since whoever takes them
    /// sees whether it goes on. Dropped in its middle, the connection goes with it.
    pub async fn send_rows(
        &mut self,
        statement: &str,
        to: mpsc::Sender<Bytes>,
        mut write: impl FnMut(&Values, &mut Vec<u8>),
    ) -> Result<u64, Error> {
        let mut connection = self.connection.take().ok_or(Error::Closed)?;
        let mut rows = 0;
        let read = async {
            let mut result = connection.query_iter(statement).await?;
            let mut piece = Vec::new();
            while let Some(row) = result.next().await? {
                rows += 1;
                let values: Values = row.unwrap_raw().into_iter().map(bytes_of).collect();
                write(&values, &mut piece);
                if piece.len() >= PIECE {
                    send(std::mem::take(&mut piece), &to).await;
                }
            }
            send(piece, &to).await;
            Ok(())
        };
        let read = read.await;
        self.keep_unless_broken(connection, &read);
        read?;
        Ok(rows)
    }

    /// Runs a LOAD DATA LOCAL, whose file these bytes are, until nobody sends any more. How many rows came in, and what
    /// the server warns of first: of a LOCAL file it makes warnings of errors.
    pub async fn load(
        &mut self,
        statement: &str,
        file: mpsc::Receiver<Bytes>,
    ) -> Result<(u64, Option<String>), Error> {
        let mut connection = self.connection.take().ok_or(Error::Closed)?;
        connection.set_infile_handler(async move {
            let pieces = stream::unfold(file, |mut file| async {
                let piece = file.recv().await?;
                Some((Ok(piece), file))
            });
            Ok(pieces.boxed())
        });
        let loaded = loaded(&mut connection, statement).await;
        self.keep_unless_broken(connection, &loaded);
        Ok(loaded?)
    }

    fn keep_unless_broken<T>(&mut self, connection: Conn, done: &Result<T, mysql_async::Error>) {
        if matches!(done, Ok(_) | Err(mysql_async::Error::Server(_))) {
            self.connection = Some(connection);
        }
    }
}

/// Of a large row not more is on its way than of small ones.
async fn send(piece: Vec<u8>, to: &mpsc::Sender<Bytes>) {
    let mut piece = Bytes::from(piece);
    while !piece.is_empty() && !to.is_closed() {
        let part = piece.split_to(piece.len().min(PIECE));
        let _ = to.send(part).await;
    }
}

async fn loaded(
    connection: &mut Conn,
    statement: &str,
) -> Result<(u64, Option<String>), mysql_async::Error> {
    connection.query_drop(statement).await?;
    let rows = connection.affected_rows();
    if connection.get_warnings() == 0 {
        return Ok((rows, None));
    }
    let first: Option<(String, u16, String)> = connection.query_first("SHOW WARNINGS").await?;
    let shown = first.map(|(_, code, text)| format!("{text} ({code})"));
    Ok((
        rows,
        Some(shown.unwrap_or_else(|| "a warning that it does not show".into())),
    ))
}

fn bytes_of(value: Option<Value>) -> Option<Vec<u8>> {
    match value? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        // Not of a statement that was sent as text.
        other => Some(other.as_sql(true).trim_matches('\'').as_bytes().to_vec()),
    }
}
