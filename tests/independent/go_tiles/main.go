// Command tilecheck checks what provgraph publishes where Go's checksum database knows no more: the
// ML-DSA-44 signature of a checkpoint (C2SP tlog-cosignature), with Filippo Valsorda's mldsa package;
// and which tiles a tree that has grown needs, with tlog of golang.org/x/mod/sumdb.
//
//	tilecheck cosignature <checkpoint> <verifier key>
//	tilecheck tiles <old size> <new size>
//
// It prints what it found, or the first fault, and then exits with status 1.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"filippo.io/mldsa"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 3 && arguments[0] == "cosignature" {
		return checkCosignature(arguments[1], arguments[2])
	}
	if len(arguments) == 3 && arguments[0] == "tiles" {
		return listTiles(arguments[1], arguments[2])
	}
	return errors.New("usage: tilecheck cosignature|tiles …")
}

// checkCosignature verifies the line of a checkpoint that a verifier key of type 0x06 has signed.
func checkCosignature(path, vkey string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return errors.New("expected a verifier key of three parts")
	}
	name := parts[0]
	material, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(material) == 0 || material[0] != 6 {
		return errors.New("expected a verifier key of type 6")
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), material...))
	keyID := sum[:4]
	if hex.EncodeToString(keyID) != parts[1] {
		return errors.New("the key id is not that of the key")
	}
	key, err := mldsa.NewPublicKey(mldsa.MLDSA44(), material[1:])
	if err != nil {
		return err
	}
	cut := bytes.LastIndex(data, []byte("\n\n"))
	if cut < 0 {
		return errors.New("expected a signed note")
	}
	for _, line := range strings.Split(string(data[cut+2:]), "\n") {
		blob, found := strings.CutPrefix(line, "— "+name+" ")
		if !found {
			continue
		}
		signature, err := base64.StdEncoding.DecodeString(blob)
		if err != nil {
			return err
		}
		if len(signature) < 12 || !bytes.Equal(signature[:4], keyID) {
			continue
		}
		time := binary.BigEndian.Uint64(signature[4:12])
		message, err := cosignedMessage(name, time, string(data[:cut+1]))
		if err != nil {
			return err
		}
		if err := mldsa.Verify(key, message, signature[12:], nil); err != nil {
			return err
		}
		fmt.Println(time)
		return nil
	}
	return errors.New("no signature of that key")
}

// cosignedMessage writes the structure that ML-DSA-44 cosigners sign, field by field.
func cosignedMessage(name string, time uint64, body string) ([]byte, error) {
	lines := strings.Split(body, "\n")
	if len(lines) != 4 {
		return nil, errors.New("expected a checkpoint of three lines")
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil {
		return nil, err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil, err
	}
	message := []byte("subtree/v1\n\x00")
	message = append(append(message, byte(len(name))), name...)
	message = binary.BigEndian.AppendUint64(message, time)
	message = append(append(message, byte(len(lines[0]))), lines[0]...)
	message = binary.BigEndian.AppendUint64(message, 0)
	message = binary.BigEndian.AppendUint64(message, size)
	return append(message, root[:]...), nil
}

// listTiles prints the paths of the tiles that a tree needs and the older one had not, as C2SP
// tlog-tiles writes them.
func listTiles(old, new string) error {
	oldSize, err := strconv.ParseInt(old, 10, 64)
	if err != nil {
		return err
	}
	newSize, err := strconv.ParseInt(new, 10, 64)
	if err != nil {
		return err
	}
	for _, tile := range tlog.NewTiles(8, oldSize, newSize) {
		fmt.Println(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
	}
	return nil
}
