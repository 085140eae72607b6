// SPDX-License-Identifier: GPL-2.0

// A TCP proxy as one writes it in Go, with a client before it and a sink behind
// it, all on loopback. Nothing here asks for splice(2): io.Copy between two TCP
// connections has used it by itself since Go 1.22. Prints what the sink got.
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Both ends are in the sockmap a moment after connect() returns. Bytes sent
// before that take the ordinary way and would hide what is shown here.
const settle = 150 * time.Millisecond

// What io.Copy returned for the direction from the client to the sink.
type copied struct {
	n   int64
	err error
}

// What the sink has got so far.
type counter struct {
	n atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func dial(listener net.Listener) *net.TCPConn {
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func accept(listener net.Listener) *net.TCPConn {
	conn, err := listener.Accept()
	if err != nil {
		log.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func sink(listener net.Listener, delivered *counter, sum chan<- []byte) {
	conn := accept(listener)
	defer conn.Close()
	hash := sha256.New()
	io.Copy(io.MultiWriter(hash, delivered), conn)
	sum <- hash.Sum(nil)
}

func proxy(listener, upstream net.Listener, result chan<- copied) {
	client := accept(listener)
	server := dial(upstream)
	go func() {
		io.Copy(client, server)
		client.CloseWrite()
	}()
	n, err := io.Copy(server, client)
	server.CloseWrite()
	result <- copied{n, err}
}

func send(listener net.Listener, data []byte) {
	conn := dial(listener)
	defer conn.Close()
	time.Sleep(settle)
	// A proxy that gave up resets the connection: what arrived counts.
	conn.Write(data)
	conn.CloseWrite()
	io.Copy(io.Discard, conn)
}

func report(sum, want []byte, c copied) string {
	match := "differs"
	if bytes.Equal(sum, want) {
		match = "match"
	}
	return fmt.Sprintf("sha256=%s n=%d err=%v", match, c.n, c.err)
}

func main() {
	mib := flag.Int("mib", 64, "how much to send")
	limit := flag.Duration("limit", time.Minute, "give up after this time")
	flag.Parse()

	data := make([]byte, *mib<<20)
	rand.New(rand.NewSource(1)).Read(data)
	want := sha256.Sum256(data)

	var delivered counter
	copies, sums, end := make(chan copied, 1), make(chan []byte, 1), make(chan string, 1)
	front, back := listen(), listen()
	go sink(back, &delivered, sums)
	go proxy(front, back, copies)
	go send(front, data)

	go func() { end <- report(<-sums, want[:], <-copies) }()

	select {
	case words := <-end:
		fmt.Printf("delivered=%d %s\n", delivered.n.Load(), words)
	case <-time.After(*limit):
		fmt.Printf("delivered=%d sha256=none n=none err=hangs\n", delivered.n.Load())
		os.Exit(1)
	}
}
