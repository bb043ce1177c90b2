package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	made := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign})
	a.cert, a.key = made.Leaf, made.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.cert)
	return a
}

// sign makes a key and a certificate for it; the first is the authority's own.
func (a *authority) sign(c *x509.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := c, key
	if a.cert != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) server() tls.Certificate {
	return a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
}

func (a *authority) client(name string) tls.Certificate {
	return a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"org"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// TestTLS: the certificate's subject is an identity; all else is as without TLS, clients that do not read included.
func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	cfg := testConfig(t.TempDir())
	cfg.SecureListen = []string{"127.0.0.1:0"}
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{ca.server()}, ClientCAs: ca.pool, ClientAuth: tls.RequireAndVerifyClientCert}
	s := start(t, cfg)
	dial := func(name string) *wire {
		w := dialTLS(t, s.Addrs()[1], &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{ca.client(name)}})
		return w.join(zk.ConnectRequest{TimeoutMillis: 40_000})
	}
	a, b := dial("a"), dial("b")
	ids := a.must(zk.OpWhoAmI, nil).IDs()
	if fmt.Sprint(ids) != "[{ip 127.0.0.1} {x509 CN=a,O=org}]" {
		t.Error(ids)
	}
	mine := []zk.ACL{{Perms: zk.PermAll, ID: zk.ID{Scheme: "auth"}}}
	a.must(zk.OpCreate, &zk.CreateRequest{Path: "/a", Data: make([]byte, 300_000), ACL: mine})
	if _, err, _ := b.call(zk.OpGetData, &zk.ReadRequest{Path: "/a"}); err != zk.NoAuth {
		t.Error(err)
	}
	const requests = 100 // 30 MB
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range requests {
			a.nc.Write(packet(&zk.RequestHeader{Xid: int32(i) + 100, Op: zk.OpGetData}, &zk.ReadRequest{Path: "/a"}))
		}
	}()
	eventually(t, "the connection is not read", func() bool {
		b.must(zk.OpPing, nil)
		f, _ := s.Figures()
		if f.UnsentBytes > 2*maxTurn {
			t.Fatal(f.UnsentBytes, " bytes wait")
		}
		return f.Outstanding > 0
	})
	for i := range requests {
		if h, d := a.receive(); h.Xid != int32(i)+100 || len(d.Buffer()) != 300_000 {
			t.Fatal(i, h)
		}
	}
	<-done
	if _, err, _ := a.call(zk.OpCloseSession, nil); err != zk.OK {
		t.Error(err)
	}
	if a.isClosed() != "" { // and with a goodbye, or the reader would say so
		t.Error("something came")
	}
	b.nc.Close()
	eventually(t, "both are gone", func() bool { f, _ := s.Figures(); return f.Connections == 0 && f.UnsentBytes == 0 })
}

// TestTLSRefused: no certificate, no handshake and half a handshake end, and leave nothing; also when the server is closed
// in their midst.
func TestTLSRefused(t *testing.T) {
	ca := newAuthority(t)
	cfg := testConfig(t.TempDir())
	cfg.Listen, cfg.SecureListen = nil, []string{"127.0.0.1:0"}
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{ca.server()}, ClientCAs: ca.pool, ClientAuth: tls.RequireAndVerifyClientCert}
	s := start(t, cfg)
	nc, err := tls.Dial("tcp", s.Addrs()[0], &tls.Config{RootCAs: ca.pool})
	if err == nil {
		defer nc.Close()
		if _, err = nc.Read(make([]byte, 1)); err == nil {
			t.Error("served without a certificate")
		}
	}
	w := dialRaw(t, s.Addrs()[0])
	w.write([]byte("srvr, in plain text"))
	w.isClosed()
	dialRaw(t, s.Addrs()[0]).write([]byte{22, 3, 1}) // and nothing more
	eventually(t, "it is being waited for", func() bool { s.admission.mu.Lock(); defer s.admission.mu.Unlock(); return s.admission.open == 1 })
}
