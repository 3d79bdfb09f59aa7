//! A peer: an echo of lines on Tokio, one thread, a task per connection. Each line is a message.
//! LinesCodec would answer with LF alone and refuse what is not UTF-8, hence a codec of our own.
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use std::io::{Error, ErrorKind};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{signal, SignalKind};
use tokio_util::codec::{Decoder, Encoder, FramedRead, FramedWrite};

const LONGEST: usize = 64 * 1024 + 2; // of a line, with its end: so memory is bounded

#[derive(Default)]
struct CrLf {
    seen: usize, // what has been searched already
}

impl Decoder for CrLf {
    type Item = Bytes;
    type Error = Error;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        while let Some(offset) = memchr::memchr(b'\n', &input[self.seen..]) {
            let lf = self.seen + offset;
            self.seen = lf + 1;
            if lf > 0 && input[lf - 1] == b'\r' {
                self.seen = 0;
                let mut line = input.split_to(lf + 1).freeze();
                line.truncate(lf - 1);
                return Ok(Some(line));
            }
        }
        self.seen = input.len();
        if self.seen > LONGEST {
            return Err(Error::new(ErrorKind::InvalidData, "line too long"));
        }
        Ok(None)
    }

    // What follows the last line end is nobody's message.
    fn decode_eof(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        self.decode(input)
    }
}

impl Encoder<Bytes> for CrLf {
    type Error = Error;

    fn encode(&mut self, line: Bytes, output: &mut BytesMut) -> Result<(), Error> {
        output.reserve(line.len() + 2);
        output.put_slice(&line);
        output.put_slice(b"\r\n");
        Ok(())
    }
}

fn answer(line: Bytes) -> Bytes {
    line
}

async fn serve(mut socket: TcpStream) -> Result<(), Error> {
    socket.set_nodelay(true)?;
    let (input, output) = socket.split();
    let lines = FramedRead::new(input, CrLf::default());
    // forward() feeds while there are lines, and flushes when there are none.
    lines
        .map_ok(answer)
        .forward(FramedWrite::new(output, CrLf::default()))
        .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let port = std::env::args().nth(1).unwrap_or("9999".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        tokio::select! {
            peer = listener.accept() => {
                tokio::spawn(serve(peer?.0));
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}
