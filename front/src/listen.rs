//! Connections of clients.

use crate::answer::Answer;
use crate::head::{Ends, Scheme};
use crate::metrics::Metrics;
use crate::pool::{Pool, WorkerId};
use crate::service::Service;
use crate::tls::Tls;
use crate::{Limits, Settings};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

/// How long to wait where the system has nothing left for another connection.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 100;

/// How often an HTTP/2 client is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);

/// Hands requests of clients to workers. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    service: Arc<Service>,
    tls: Option<Tls>,
}

/// A front that accepts connections, until this is dropped.
pub struct Running {
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<GracefulShutdown>,
}

/// Whose request it is.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) ends: Ends,
    /// The right to a connection, for as long as anybody has it.
    pub(crate) _turn: Option<Arc<OwnedSemaphorePermit>>,
}

impl Front {
    /// Nothing is accepted yet.
    pub fn new(settings: Settings) -> Self {
        let Settings {
            workers,
            at_once,
            interface,
            life,
            limits,
            records,
            statics,
            gzip,
            tls,
        } = settings;
        let service = Arc::new(Service {
            pool: Pool::new(workers, at_once, life),
            interface,
            limits,
            metrics: Arc::default(),
            records,
            statics,
            gzip,
            ending: watch::Sender::new(false),
        });
        Self { service, tls }
    }

    /// Are clients served by TLS?
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.service.metrics
    }

    /// So many workers can serve now.
    pub fn set_workers(&self, count: usize) {
        self.service.pool.set_workers(count);
        self.service.metrics.set_workers(count);
    }

    /// No request goes to `worker` from now on.
    pub fn forget(&self, worker: WorkerId) {
        self.service.pool.forget(worker);
    }

    /// Accepts connections from now on. Must be called inside a tokio runtime.
    pub fn serve(&self, listener: TcpListener) -> Running {
        let (stop, stopped) = watch::channel(false);
        let service = Arc::clone(&self.service);
        let accepting = tokio::spawn(accept(self.clone(), listener, stopped));
        Running {
            service,
            stop,
            accepting,
        }
    }

    /// Answers `/health` and `/metrics` from now on. Must be called inside a tokio runtime.
    pub fn administer(&self, listener: TcpListener) {
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(tell(Arc::clone(&service), stream))),
                    Err(_) => sleep(EXHAUSTED).await,
                }
            }
        });
    }
}

impl Running {
    /// Accepts no more connections, closes WebSockets, and waits for the requests of those that there are.
    pub async fn end(self) {
        self.stop.send_replace(true);
        if let Ok(graceful) = self.accepting.await {
            let ending = &self.service.ending;
            ending.send_replace(true);
            graceful.shutdown().await;
            ending.closed().await;
        }
    }
}

async fn accept(
    front: Front,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let limits = front.service.limits;
    let turns = Arc::new(Semaphore::new(limits.connections));
    let builder = builder(&limits);
    let scheme = match front.tls {
        Some(_) => Scheme::Https,
        None => Scheme::Http,
    };
    loop {
        let next = async {
            // Fails only where it was closed, which nobody does.
            let turn = Arc::clone(&turns).acquire_owned().await.ok();
            (turn, listener.accept().await)
        };
        let (turn, accepted) = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|stop| *stop) => return graceful,
        };
        match accepted {
            Ok((stream, client)) => {
                let Ok(server) = stream.local_addr() else {
                    continue; // It has gone.
                };
                let client = Client {
                    ends: Ends {
                        client,
                        server,
                        scheme,
                    },
                    _turn: turn.map(Arc::new),
                };
                // Answers are written in one piece each, and are not to wait for acknowledgements.
                let _ = stream.set_nodelay(true);
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(limits.stalled));
                let stream = Box::pin(stream);
                let service = Arc::clone(&front.service);
                let (builder, watcher) = (builder.clone(), graceful.watcher());
                match front.tls.clone() {
                    None => drop(tokio::spawn(serve(
                        service, builder, watcher, stream, client,
                    ))),
                    Some(tls) => drop(tokio::spawn(async move {
                        // One that does not speak TLS is told so by its end.
                        if let Ok(Ok(stream)) = timeout(limits.head_time, tls.accept(stream)).await
                        {
                            serve(service, builder, watcher, stream, client).await;
                        }
                    })),
                }
            }
            Err(_) => sleep(EXHAUSTED).await,
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(limits.stalled);
    builder
}

/// Serves one connection.
async fn serve<S>(
    service: Arc<Service>,
    builder: Builder<TokioExecutor>,
    watcher: Watcher,
    stream: S,
    client: Client,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = service.limits;
    let _counted = service.metrics.connection();
    let asked = AtomicBool::new(false);
    let answering = {
        let (service, asked) = (&service, &asked);
        service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (service, client) = (Arc::clone(service), client.clone());
            async move { Ok::<_, Infallible>(service.respond(request, client).await) }
        })
    };
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), answering);
    let connection = watcher.watch(connection);
    // The version is told by the first bytes, which no limit of the protocol's own waits for.
    let silent = async {
        sleep(limits.head_time).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // What is wrong with it is the client's, who has been told as far as it can be.
        _ = connection => {}
        () = silent => {}
    }
}

/// One connection of whoever watches over the service.
async fn tell(service: Arc<Service>, stream: TcpStream) {
    let answering = service_fn(move |request: Request<Incoming>| {
        let (status, text) = match request.uri().path() {
            "/health" if service.metrics.has_workers() => (StatusCode::OK, "ok\n".to_owned()),
            "/health" => (StatusCode::SERVICE_UNAVAILABLE, "no worker\n".to_owned()),
            "/metrics" => (StatusCode::OK, service.metrics.text()),
            _ => (StatusCode::NOT_FOUND, "/health or /metrics\n".to_owned()),
        };
        let mut response = Response::new(Answer::text(text));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/plain; version=0.0.4");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Limits::default().head_time)
        .serve_connection(TokioIo::new(stream), answering);
    // Whoever watches sees what went wrong.
    let _ = connection.await;
}
