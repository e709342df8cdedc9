//! One request and its response.

use crate::answer::{Answer, Responding, Sending, Writing};
use crate::connection::{Broken, Connection, Reader};
use crate::frame::{self, Frame, HEAD, Kind, put_head};
use crate::head::{self, Ends};
use crate::listen::Client;
use crate::metrics::Metrics;
use crate::pool::{Lease, Pool};
use crate::record::{Record, Records};
use crate::refusal::Refusal;
use crate::statics::Static;
use crate::{Interface, Limits, gzip, websocket};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Version};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// What all requests share.
pub(crate) struct Service {
    pub(crate) pool: Arc<Pool>,
    pub(crate) interface: Interface,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) records: Option<Records>,
    pub(crate) statics: Vec<Static>,
    pub(crate) gzip: bool,
    /// Tells WebSockets to end. Each has a receiver for as long as it lives.
    pub(crate) ending: watch::Sender<bool>,
}

impl Service {
    pub(crate) async fn respond(
        &self,
        request: Request<Incoming>,
        client: Client,
    ) -> Response<Answer> {
        let ends = client.ends;
        let _counted = self.metrics.request();
        let (time, started) = (SystemTime::now(), Instant::now());
        let asked = self.records.as_ref().map(|_| {
            let target = request.uri().path_and_query();
            (
                request.method().to_string(),
                target.map_or("*", |target| target.as_str()).to_owned(),
                format!("{:?}", request.version()),
            )
        });
        let compress = self.gzip && gzip::is_taken(request.headers());
        let (response, failure) = match self.ask(request, client).await {
            Ok(response) if compress => (gzip::compressed(response), None),
            Ok(response) => (response, None),
            Err(refusal) => (refusal.response(), Some(refusal.to_string())),
        };
        let (status, passed) = (response.status().as_u16(), started.elapsed());
        self.metrics.responded(status, passed);
        if let (Some(Records(hear)), Some((method, target, version))) = (&self.records, asked) {
            let since = time.duration_since(UNIX_EPOCH);
            hear(&Record {
                time: since.map_or(0.0, |since| since.as_secs_f64()),
                client: ends.client,
                method,
                target,
                version,
                status,
                seconds: passed.as_secs_f64(),
                failure,
            });
        }
        response
    }

    async fn ask(
        &self,
        request: Request<Incoming>,
        client: Client,
    ) -> Result<Response<Answer>, Refusal> {
        if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
            return Err(Refusal::NoHost);
        }
        if request.method() == Method::CONNECT {
            return Err(Refusal::Connect);
        }
        for folder in &self.statics {
            if let Some(response) = folder.answer(&request).await {
                return Ok(response);
            }
        }
        if self.interface == Interface::Asgi && websocket::is_asked_for(&request) {
            return websocket::open(self, request, client).await;
        }
        let ends = client.ends;
        let (parts, body) = request.into_parts();
        if body.size_hint().lower() > self.limits.body {
            return Err(Refusal::Long(self.limits.body));
        }
        match body.is_end_stream() {
            true => self.ask_whole(&parts, ends).await,
            false => self.ask_with_body(&parts, body, ends).await,
        }
    }

    async fn ask_whole(&self, parts: &Parts, ends: Ends) -> Result<Response<Answer>, Refusal> {
        let head = head::frame(parts, ends, Kind::Whole, self.interface);
        let mut again = parts.method.is_idempotent();
        loop {
            let (mut connection, lease) = self.lease().await?;
            let asked = timeout(self.limits.answer, first(&mut connection, &head));
            match asked.await.map_err(|_| Refusal::Late)? {
                Ok(response) => {
                    let Connection { reader, writer, .. } = connection;
                    return respond(response, reader, Writing::Done(writer), lease);
                }
                // Its worker ended while nobody used it, most likely.
                Err(Broken::Io(_) | Broken::Ended) if connection.used && again => again = false,
                Err(broken) => return Err(broken.into()),
            }
        }
    }

    async fn ask_with_body(
        &self,
        parts: &Parts,
        body: Incoming,
        ends: Ends,
    ) -> Result<Response<Answer>, Refusal> {
        let head = head::frame(parts, ends, Kind::WithBody, self.interface);
        let (connection, lease) = self.lease().await?;
        let Connection {
            mut reader, writer, ..
        } = connection;
        let (tell, mut refused) = oneshot::channel();
        let limits = self.limits;
        let sending = Sending(tokio::spawn(async move {
            match send(writer, head, body, limits).await {
                Ok(writer) => Some(writer),
                Err(refusal) => {
                    // Nobody hears it once the app has answered.
                    let _ = tell.send(refusal);
                    None
                }
            }
        }));
        // An app may answer before it has read all.
        let mut sent = false;
        let frame = loop {
            let answer = async {
                match sent {
                    true => timeout(limits.answer, reader.frame())
                        .await
                        .map_err(|_| Refusal::Late),
                    false => Ok(reader.frame().await),
                }
            };
            tokio::select! {
                frame = answer => break frame?,
                refusal = &mut refused, if !sent => match refusal {
                    Ok(refusal) => return Err(refusal),
                    Err(_) => sent = true,
                },
            }
        };
        let Frame::Head(head) = frame? else {
            return Err(Broken::Order.into());
        };
        let response = frame::response(&head).map_err(Broken::from)?;
        respond(response, reader, Writing::Going(sending), lease)
    }

    async fn lease(&self) -> Result<(Connection, Lease), Refusal> {
        let lease = timeout(self.limits.answer, self.pool.lease()).await;
        Ok(lease.map_err(|_| Refusal::Busy)??)
    }
}

/// Asks, and waits for the head of the response.
async fn first(connection: &mut Connection, head: &[u8]) -> Result<Response<()>, Broken> {
    connection.send(head).await?;
    let Frame::Head(head) = connection.reader.frame().await? else {
        return Err(Broken::Order);
    };
    Ok(frame::response(&head)?)
}

pub(crate) fn respond(
    response: Response<()>,
    reader: Reader,
    writing: Writing,
    lease: Lease,
) -> Result<Response<Answer>, Refusal> {
    let responding = Responding {
        reader,
        writing,
        lease,
    };
    let answer = responding.answer()?;
    Ok(response.map(|()| answer))
}

/// Sends a request with its body as it comes.
async fn send(
    mut writer: OwnedWriteHalf,
    head: Bytes,
    mut body: Incoming,
    limits: Limits,
) -> Result<OwnedWriteHalf, Refusal> {
    write(&mut writer, &head, &limits).await?;
    let mut left = limits.body;
    let mut frame_head = BytesMut::with_capacity(HEAD);
    loop {
        let frame = timeout(limits.stalled, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Refusal::Slow)? else {
            break;
        };
        // Trailers are none of WSGI's.
        let Ok(data) = frame.map_err(|_| Refusal::Gone)?.into_data() else {
            continue;
        };
        if data.is_empty() {
            continue;
        }
        left = left
            .checked_sub(data.len() as u64)
            .ok_or(Refusal::Long(limits.body))?;
        frame_head.clear();
        put_head(&mut frame_head, Kind::Data, data.len());
        write(&mut writer, &frame_head, &limits).await?;
        write(&mut writer, &data, &limits).await?;
    }
    frame_head.clear();
    put_head(&mut frame_head, Kind::End, 0);
    write(&mut writer, &frame_head, &limits).await?;
    Ok(writer)
}

async fn write(writer: &mut OwnedWriteHalf, bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let written = timeout(limits.answer, writer.write_all(bytes)).await;
    let written = written.map_err(|_| Refusal::Late)?;
    written.map_err(|error| Refusal::Broken(error.into()))
}
