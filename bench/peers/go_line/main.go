// A peer: an echo of lines in Go, a goroutine per connection. Each line is a message; answers are
// gathered by hand and leave before more input is waited for.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

const longest = 64*1024 + 2 // of a line, with its end: so memory is bounded

var crlf = []byte("\r\n")

func answer(line []byte) []byte { return line }

// readLine gives a line without its CR LF, valid until the next call. A line that is longer than
// the reader's buffer, or has a lone LF in it, comes in pieces.
func readLine(reader *bufio.Reader) ([]byte, error) {
	piece, err := reader.ReadSlice('\n')
	if err == nil && bytes.HasSuffix(piece, crlf) {
		return piece[:len(piece)-2], nil
	}
	var line []byte
	for err == nil || errors.Is(err, bufio.ErrBufferFull) {
		line = append(line, piece...)
		if err == nil && bytes.HasSuffix(line, crlf) {
			return line[:len(line)-2], nil
		}
		if len(line) > longest {
			return nil, bufio.ErrTooLong
		}
		piece, err = reader.ReadSlice('\n')
	}
	return nil, err
}

// Flushing when reader.Buffered() is 0 would hold answers back while half a line lies in the
// buffer.
type flushBeforeRead struct {
	conn   net.Conn
	writer *bufio.Writer
}

func (f flushBeforeRead) Read(into []byte) (int, error) {
	if err := f.writer.Flush(); err != nil {
		return 0, err
	}
	return f.conn.Read(into)
}

func serve(conn net.Conn) {
	defer conn.Close()
	writer := bufio.NewWriterSize(conn, 16*1024)
	reader := bufio.NewReaderSize(flushBeforeRead{conn, writer}, 16*1024)
	for {
		line, err := readLine(reader)
		if err != nil {
			return
		}
		writer.Write(answer(line)) // an error is kept, and met by the next Flush
		writer.Write(crlf)
	}
}

func main() {
	port := "9999"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, "go_line:", err)
		os.Exit(1)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		os.Exit(0)
	}()
	fmt.Println("listening on", listener.Addr())
	for {
		conn, err := listener.Accept() // it sets TCP_NODELAY
		if err != nil {
			fmt.Fprintln(os.Stderr, "go_line:", err)
			os.Exit(1)
		}
		go serve(conn)
	}
}
