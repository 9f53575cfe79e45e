//! Talks to the running proxy through its admin address.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Failure;
use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Client {
    address: String,
    token: Option<String>,
}

impl Client {
    pub fn new(config: &Path) -> Result<Self, Failure> {
        let config = Config::load(config)?;
        let address = config
            .listen
            .admin
            .first()
            .context("[listen] admin is empty: the proxy cannot be asked")?;
        // What listens on every address is reached on this machine's own.
        let address = address
            .replace("0.0.0.0:", "127.0.0.1:")
            .replace("[::]:", "[::1]:");
        Ok(Self {
            address,
            token: config.admin_token.map(|token| token.expose().to_owned()),
        })
    }

    pub async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    pub async fn put<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, Failure> {
        self.call(Method::PUT, path, body.to_string().into()).await
    }

    pub async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, Failure> {
        self.call(Method::POST, path, body.to_string().into()).await
    }

    /// An order that takes as long as it takes. Whether it was carried out, and what came of it.
    pub async fn order(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<(bool, serde_json::Value), Failure> {
        let (status, body) = self
            .exchange(Method::POST, path, body.to_string().into())
            .await?;
        let answer = serde_json::from_slice(&body)
            .context("the proxy's answer is not what it should be; is it another version?")?;
        Ok((status.is_success(), answer))
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let answer = match tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(Failure::NotReached(anyhow::anyhow!(
                    "the proxy at {} does not answer within 10 s",
                    self.address
                )));
            }
        };
        match answer {
            (status, body) if status.is_success() => Ok(serde_json::from_slice(&body)
                .context("the proxy's answer is not what it should be; is it another version?")?),
            (status, body) => {
                let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                let reason = said["error"].as_str().map_or_else(
                    || String::from_utf8_lossy(&body).into_owned(),
                    str::to_owned,
                );
                Err(Failure::Refused(anyhow::anyhow!(
                    "the proxy refuses ({}): {reason}",
                    status.as_u16()
                )))
            }
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let unreached = |error: &dyn std::fmt::Display| {
            Failure::NotReached(anyhow::anyhow!(
                "no running proxy at {}: {error}",
                self.address
            ))
        };
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(|error| unreached(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreached(&error))?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).context("the request")?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| unreached(&error))?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| unreached(&error))?
            .to_bytes();
        Ok((status, body))
    }
}
