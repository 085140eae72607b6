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

type received struct {
	n   int64
	sum []byte
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

func sink(listener net.Listener, result chan<- received) {
	conn := accept(listener)
	defer conn.Close()
	hash := sha256.New()
	n, _ := io.Copy(hash, conn)
	result <- received{n, hash.Sum(nil)}
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

func main() {
	mib := flag.Int("mib", 64, "how much to send")
	limit := flag.Duration("limit", 2*time.Minute, "give up after this time")
	flag.Parse()

	data := make([]byte, *mib<<20)
	rand.New(rand.NewSource(1)).Read(data)
	sum := sha256.Sum256(data)

	copies, results := make(chan copied, 1), make(chan received, 1)
	front, back := listen(), listen()
	go sink(back, results)
	go proxy(front, back, copies)
	go send(front, data)

	select {
	case got := <-results:
		c := <-copies
		match := "differs"
		if bytes.Equal(got.sum, sum[:]) {
			match = "match"
		}
		fmt.Printf("delivered=%d sha256=%s n=%d err=%v\n", got.n, match, c.n, c.err)
	case <-time.After(*limit):
		fmt.Println("delivered=0 sha256=none n=0 err=hangs")
		os.Exit(1)
	}
}
