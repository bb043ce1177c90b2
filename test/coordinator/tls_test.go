package coordinator

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// certify makes a PEM file with a certificate, signed by itself, and its key.
func certify(t *testing.T, name string) (file string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, private := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if pair, err = tls.X509KeyPair(cert, private); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), name+".pem")
	if err := os.WriteFile(file, slices.Concat(cert, private), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, pair
}

// TestTLS: files in PEM are all that it takes, and the client's certificate is an identity.
func TestTLS(t *testing.T) {
	keystore, own := certify(t, "server")
	truststore, client := certify(t, "client")
	b := testkit.StartCoordinator(t, t.TempDir(), "coordinator.secure.listeners=127.0.0.1:0",
		"coordinator.ssl.keystore.location="+keystore, "coordinator.ssl.truststore.location="+truststore)
	at := regexp.MustCompile(`TLS +(\S+)`).FindStringSubmatch(b.Log())
	if at == nil {
		t.Fatal(b.Log())
	}
	roots := x509.NewCertPool()
	roots.AddCert(own.Leaf)
	nc, err := tls.Dial("tcp", at[1], &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{client}})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s := &session{nc: nc, r: bufio.NewReader(nc)}
	if err := s.write(&zk.ConnectRequest{TimeoutMillis: 10_000, HasReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.read(); err != nil {
		t.Fatal(err)
	}
	if ids := fmt.Sprint(s.must(t, zk.OpWhoAmI, nil).IDs()); ids != "[{ip 127.0.0.1} {x509 CN=client}]" {
		t.Error(ids)
	}
	b.Terminate()
	code, out := testkit.StartCoordinatorFailing(t, t.TempDir(), "coordinator.secure.listeners=127.0.0.1:0",
		"coordinator.ssl.keystore.location=/none.pem", "coordinator.ssl.truststore.location="+truststore)
	if code != 3 || !strings.Contains(out, "coordinator.ssl.keystore.location") {
		t.Error(code, out)
	}
}
