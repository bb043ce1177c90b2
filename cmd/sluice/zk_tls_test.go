package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	zkserver "github.com/sluice-mq/sluice/coordination/server"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// selfSigned makes a certificate that is its own authority, and writes it and its key into files.
func selfSigned(t *testing.T, name string) (pair tls.Certificate, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), name+".crt"), filepath.Join(t.TempDir(), name+".key")
	certPEM, keyPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for file, b := range map[string][]byte{cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return pair, cert, key
}

func TestZKOverTLS(t *testing.T) {
	pair, ca, _ := selfSigned(t, "server")
	mine, cert, key := selfSigned(t, "me")
	pool := x509.NewCertPool()
	pool.AddCert(mine.Leaf)
	s, err := zkserver.Open(zkserver.Config{Dir: t.TempDir(), SecureListen: []string{"127.0.0.1:0"}, MaxPacket: zk.DefaultMaxPacket,
		TLS:           &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven},
		SnapshotEvery: 100_000, SnapshotsKept: 3, Logger: slog.New(slog.DiscardHandler),
		Limits: zkserver.Limits{Tick: time.Second, MinSessionTimeout: 2 * time.Second, MaxSessionTimeout: time.Minute, Watches: 1000,
			Nodes: 1000, Depth: 100, ServerID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	addr := s.Addrs()[0]
	z := func(args ...string) result {
		return sluice(t, "", append([]string{"zk", "-s", addr, "--connect-timeout", "2s"}, args...)...)
	}
	z("ls", "--tls-ca", ca).want(t, exitOK, "/zookeeper", "")
	z("ls", "--tls-insecure").want(t, exitOK, "/zookeeper", "")
	z("create", "/mine", "x", "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key, "--acl", "x509:CN=me:cdrwa").want(t, exitOK, "created", "")
	z("get", "/mine", "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key).want(t, exitOK, "x", "")
	z("get", "/mine", "--tls-ca", ca).want(t, exitKafka, "", "not authorised")
	z("ls", "--tls").want(t, exitUnreachable, "", "certificate signed by unknown authority")
	z("ls").want(t, exitUnreachable, "", "no coordinator answers")
	z("ls", "--tls-ca", key).want(t, exitFailed, "", "no certificate in the file")
	z("ls", "--tls-ca", "/no/such/file").want(t, exitFailed, "", "no such file")
}
