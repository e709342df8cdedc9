//! WebSockets: spoken with clients here, their messages handed on to workers in frames.

use crate::answer::{Answer, Writing};
use crate::connection::{Broken, Connection, Reader};
use crate::frame::{self, Frame, HEAD, Kind, put_head};
use crate::listen::Client;
use crate::metrics::Metrics;
use crate::pool::{Lease, Pool, WorkerId};
use crate::refusal::Refusal;
use crate::service::{Service, respond};
use crate::{Interface, Limits, head};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

/// How often a client is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);

/// How long a client may take to answer the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Read at once; messages that are longer get the room they need.
const BUFFER: usize = 8 << 10;

/// What an app is told where the client gave no code, or none arrived.
const NO_CODE: u16 = 1005;
const ABNORMAL: u16 = 1006;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Does the request ask for a WebSocket? Over HTTP/1.1 only.
pub(crate) fn is_asked_for(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11
        && has_word(request.headers(), UPGRADE, "websocket")
        && has_word(request.headers(), CONNECTION, "upgrade")
}

fn has_word(headers: &HeaderMap, name: hyper::http::HeaderName, word: &str) -> bool {
    let all = headers.get_all(name);
    all.iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// Asks the app whether it takes the WebSocket, and serves it in a task of its own if it does.
pub(crate) async fn open(
    service: &Service,
    mut request: Request<Incoming>,
    client: Client,
) -> Result<Response<Answer>, Refusal> {
    let key = accept_key(&request)?;
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let head = head::frame(&parts, client.ends, Kind::Socket, Interface::Asgi);
    let asking = async {
        let (mut connection, lease) = service.pool.lease_for_socket().await?;
        connection.send(&head).await?;
        let frame = connection.reader.frame().await?;
        Ok::<_, Broken>((connection, lease, frame))
    };
    let asked = timeout(service.limits.answer, asking).await;
    let (connection, lease, frame) = asked.map_err(|_| Refusal::Late)??;
    let content = match frame {
        Frame::Accept(content) => content,
        Frame::Head(head) => {
            let response = frame::response(&head).map_err(Broken::from)?;
            let Connection { reader, writer, .. } = connection;
            return respond(response, reader, Writing::Done(writer), lease);
        }
        _ => return Err(Broken::Order.into()),
    };
    let headers = frame::accepted(&content).map_err(Broken::from)?;
    let conversation = Conversation {
        pool: Arc::clone(&service.pool),
        metrics: Arc::clone(&service.metrics),
        limits: service.limits,
        ending: service.ending.subscribe(),
        connection,
        _client: client,
        _lease: lease,
    };
    tokio::spawn(conversation.run(upgrade));
    let mut response = Response::new(Answer::Whole(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    Ok(response)
}

/// The answer to the client's key, if its part of the handshake is right.
fn accept_key(request: &Request<Incoming>) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(Refusal::Handshake)?;
    if *request.method() != Method::GET {
        return Err(Refusal::Handshake);
    }
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != "13") {
        return Err(Refusal::SocketVersion);
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| Refusal::Handshake)
}

/// An open WebSocket with the worker's end of it.
struct Conversation {
    pool: Arc<Pool>,
    metrics: Arc<Metrics>,
    limits: Limits,
    ending: watch::Receiver<bool>,
    connection: Connection,
    _client: Client,
    _lease: Lease,
}

/// What a client is told at the end; none if it has gone, or has said so itself.
type Farewell = Option<CloseFrame>;

impl Conversation {
    async fn run(self, upgrade: OnUpgrade) {
        let Self {
            pool,
            metrics,
            limits,
            ending,
            connection,
            _client,
            _lease,
        } = self;
        let Ok(Ok(upgraded)) = timeout(limits.stalled, upgrade).await else {
            return; // The client has gone.
        };
        let _counted = metrics.websocket();
        let Connection {
            worker,
            mut reader,
            writer,
            ..
        } = connection;
        reader.limit(limits.message);
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(limits.message))
            .max_frame_size(Some(limits.message));
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let (mut speaking, hearing) = socket.split();
        // In a task of its own: a client that does not take what it is sent is heard all the same.
        let mut tasks = JoinSet::new();
        tasks.spawn(hear(hearing, writer, limits));
        let farewell = tokio::select! {
            farewell = speak(&mut speaking, reader, limits) => farewell,
            Some(farewell) = tasks.join_next() => farewell.unwrap_or_default(),
            () = leaving(&pool, worker, ending.clone()) => {
                told(CloseCode::Restart, "the service restarts or ends")
            }
        };
        let end = async {
            match farewell {
                Some(frame) => drop(speaking.send(Message::Close(Some(frame))).await),
                // What the client said is to be answered before the connection is closed.
                None => drop(speaking.flush().await),
            }
            // Until the client has answered, or its own word has been passed on.
            while tasks.join_next().await.is_some() {}
        };
        let _ = timeout(FAREWELL, end).await;
    }
}

fn told(code: CloseCode, reason: &'static str) -> Farewell {
    Some(CloseFrame {
        code,
        reason: reason.into(),
    })
}

/// Resolves when the worker, or all of the service, comes to its end.
async fn leaving(pool: &Pool, worker: WorkerId, mut ending: watch::Receiver<bool>) {
    tokio::select! {
        () = pool.going(worker) => {}
        _ = ending.wait_for(|ending| *ending) => {}
    }
}

/// Passes on what the app says, and asks a silent client whether it is there.
async fn speak(
    client: &mut SplitSink<Socket, Message>,
    mut reader: Reader,
    limits: Limits,
) -> Farewell {
    let mut ping = interval_at(Instant::now() + PING, PING);
    loop {
        let message = tokio::select! {
            frame = reader.frame() => match frame {
                Ok(Frame::Text(text)) => match text.try_into() {
                    Ok(text) => Message::Text(text),
                    Err(_) => return told(CloseCode::Error, ""),
                },
                Ok(Frame::Data(data)) => Message::Binary(data),
                Ok(Frame::Close(content)) => return closed(&content),
                // What is wrong with the app or its worker is not for clients.
                Ok(_) | Err(_) => return told(CloseCode::Error, ""),
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
        };
        match timeout(limits.stalled, client.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}

/// The app's last word, as far as it is one that may be sent.
fn closed(content: &[u8]) -> Farewell {
    let (code, reason) = content.split_first_chunk()?;
    let code = CloseCode::from(u16::from_be_bytes(*code));
    let code = match code.is_allowed() {
        true => code,
        false => CloseCode::Error,
    };
    let reason = String::from_utf8_lossy(reason).into_owned().into();
    Some(CloseFrame { code, reason })
}

/// Passes on what the client says.
async fn hear(
    mut client: SplitStream<Socket>,
    mut worker: OwnedWriteHalf,
    limits: Limits,
) -> Farewell {
    loop {
        let Ok(message) = timeout(PING + limits.stalled, client.next()).await else {
            // It does not even answer pings.
            pass(&mut worker, &limits, Kind::Close, &ABNORMAL.to_be_bytes()).await;
            return None;
        };
        let passed = match message {
            Some(Ok(Message::Text(text))) => {
                pass(&mut worker, &limits, Kind::Text, text.as_bytes()).await
            }
            Some(Ok(Message::Binary(data))) => pass(&mut worker, &limits, Kind::Data, &data).await,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => true,
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((NO_CODE, String::new()), |frame| {
                    (u16::from(frame.code), frame.reason.to_string())
                });
                let content = [&code.to_be_bytes(), reason.as_bytes()].concat();
                pass(&mut worker, &limits, Kind::Close, &content).await;
                return None;
            }
            Some(Err(error)) => {
                let farewell = match error {
                    Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                        told(CloseCode::Size, "the message is too long")
                    }
                    // It has gone without a word.
                    Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
                    Error::Utf8(_) => told(CloseCode::Invalid, ""),
                    Error::Protocol(_) => told(CloseCode::Protocol, ""),
                    _ => None,
                };
                let code = farewell
                    .as_ref()
                    .map_or(ABNORMAL, |frame| frame.code.into());
                pass(&mut worker, &limits, Kind::Close, &code.to_be_bytes()).await;
                return farewell;
            }
            None => {
                pass(&mut worker, &limits, Kind::Close, &ABNORMAL.to_be_bytes()).await;
                return None;
            }
        };
        if !passed {
            return told(CloseCode::Error, "");
        }
    }
}

/// Sends a frame to the worker. Returns whether it took it in time.
async fn pass(worker: &mut OwnedWriteHalf, limits: &Limits, kind: Kind, content: &[u8]) -> bool {
    let mut frame = BytesMut::with_capacity(HEAD + content.len());
    put_head(&mut frame, kind, content.len());
    frame.extend_from_slice(content);
    let written = timeout(limits.answer, worker.write_all(&frame)).await;
    matches!(written, Ok(Ok(())))
}
