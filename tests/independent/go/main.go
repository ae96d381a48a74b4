// Command tlogcheck checks provgraph's log with the packages of Go's checksum database, note and
// tlog of golang.org/x/mod/sumdb, and nothing of provgraph.
//
//	tlogcheck bundle <folder>    an unpacked export bundle: checkpoint, records/*/entry.json, proofs
//	tlogcheck log <file.json>    a whole log: its entries, checkpoints and proofs at every size
//	tlogcheck tiles <folder> <verifier key>    a published log: checkpoint, tiles and entries
//
// It prints what it checked as one line of JSON, or the first fault, and then exits with status 1.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	report, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) (map[string]int64, error) {
	if len(arguments) == 2 && arguments[0] == "bundle" {
		return checkBundle(arguments[1])
	}
	if len(arguments) == 2 && arguments[0] == "log" {
		return checkLog(arguments[1])
	}
	if len(arguments) == 3 && arguments[0] == "tiles" {
		return checkTiles(arguments[1], arguments[2])
	}
	return nil, errors.New("usage: tlogcheck bundle|log|tiles <path> [verifier key]")
}

// checkBundle checks that every entry of a bundle stands in the tree of its signed checkpoint.
func checkBundle(folder string) (map[string]int64, error) {
	message, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return nil, err
	}
	key, err := logKey(folder)
	if err != nil {
		return nil, err
	}
	tree, err := openCheckpoint(message, key)
	if err != nil {
		return nil, err
	}
	records, err := filepath.Glob(filepath.Join(folder, "records", "*"))
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		if err := checkRecord(record, message, tree); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(record), err)
		}
	}
	return map[string]int64{"size": tree.N, "records": int64(len(records))}, nil
}

// spkiEd25519 is the DER of SubjectPublicKeyInfo up to the key (RFC 8410, section 4). Package
// crypto/x509 would parse it, and takes half a minute to compile.
var spkiEd25519 = []byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}

// logKey reads the log's Ed25519 key: the one under keys/ whose Multikey begins as those do.
func logKey(folder string) (ed25519.PublicKey, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "keys", "log-z6Mk*.pem"))
	if err != nil || len(paths) != 1 {
		return nil, fmt.Errorf("expected one log key, found %d", len(paths))
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", paths[0])
	}
	key := bytes.TrimPrefix(block.Bytes, spkiEd25519)
	if len(key) == len(block.Bytes) || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%s holds no Ed25519 key", paths[0])
	}
	return key, nil
}

// openCheckpoint opens a signed note under the origin in its first line, and reads its tree.
func openCheckpoint(message []byte, key ed25519.PublicKey) (tlog.Tree, error) {
	origin, _, found := strings.Cut(string(message), "\n")
	if !found {
		return tlog.Tree{}, errors.New("expected a checkpoint of several lines")
	}
	encoded, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		return tlog.Tree{}, err
	}
	return openNote(message, encoded)
}

// openNote opens a checkpoint under a verifier key, whose name must be its origin.
func openNote(message []byte, key string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(message, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	origin := verifier.Name()
	// ParseTree wants the checksum database's own first line; the rest of the format is shared.
	body := strings.Replace(opened.Text, origin+"\n", "go.sum database tree\n", 1)
	return tlog.ParseTree([]byte(body))
}

func checkRecord(folder string, checkpoint []byte, tree tlog.Tree) error {
	entry, err := os.ReadFile(filepath.Join(folder, "entry.json"))
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(folder, "record.tlog-proof"))
	if err != nil {
		return err
	}
	index, proof, rest, err := parseProof(data)
	if err != nil {
		return err
	}
	if !bytes.Equal(rest, checkpoint) {
		return errors.New("the proof ends in another checkpoint than the bundle's")
	}
	if filepath.Base(folder) != fmt.Sprintf("%06d", index) {
		return fmt.Errorf("the proof is for position %d", index)
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

// parseProof reads a c2sp.org/tlog-proof@v1 file without extra data.
func parseProof(data []byte) (index int64, proof tlog.RecordProof, checkpoint []byte, err error) {
	head, checkpoint, found := bytes.Cut(data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return 0, nil, nil, errors.New("expected a c2sp.org/tlog-proof@v1 file")
	}
	index, err = strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return 0, nil, nil, err
	}
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, nil, err
		}
		proof = append(proof, hash)
	}
	return index, proof, checkpoint, nil
}

// wholeLog is a log as provgraph tells it; bytes are in base64.
type wholeLog struct {
	Key         []byte        `json:"key"`
	Entries     [][]byte      `json:"entries"`
	Checkpoints [][]byte      `json:"checkpoints"` // Checkpoints[i] is that of size i+1
	Inclusion   []inclusion   `json:"inclusion"`
	Consistency []consistency `json:"consistency"`
}

type inclusion struct {
	Index  int64       `json:"index"`
	Size   int64       `json:"size"`
	Hashes []tlog.Hash `json:"hashes"`
}

type consistency struct {
	Old    int64       `json:"old"`
	New    int64       `json:"new"`
	Hashes []tlog.Hash `json:"hashes"`
}

// checkLog builds the tree itself, entry by entry, and checks every checkpoint and proof against it.
func checkLog(path string) (map[string]int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var log wholeLog
	if err := json.Unmarshal(data, &log); err != nil {
		return nil, err
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	roots := map[int64]tlog.Hash{}
	for i, entry := range log.Entries {
		hashes, err := tlog.StoredHashes(int64(i), entry, reader)
		if err != nil {
			return nil, err
		}
		stored = append(stored, hashes...)
		size := int64(i) + 1
		if roots[size], err = tlog.TreeHash(size, reader); err != nil {
			return nil, err
		}
	}
	for i, message := range log.Checkpoints {
		tree, err := openCheckpoint(message, log.Key)
		if err != nil {
			return nil, fmt.Errorf("checkpoint %d: %w", i, err)
		}
		if tree.N != int64(i)+1 || tree.Hash != roots[tree.N] {
			return nil, fmt.Errorf("checkpoint %d: its root is not that of the entries", i)
		}
	}
	for _, each := range log.Inclusion {
		leaf := tlog.RecordHash(log.Entries[each.Index])
		err := tlog.CheckRecord(each.Hashes, each.Size, roots[each.Size], each.Index, leaf)
		if err != nil {
			return nil, fmt.Errorf("inclusion of %d in %d: %w", each.Index, each.Size, err)
		}
	}
	for _, each := range log.Consistency {
		err := tlog.CheckTree(each.Hashes, each.New, roots[each.New], each.Old, roots[each.Old])
		if err != nil {
			return nil, fmt.Errorf("consistency of %d and %d: %w", each.Old, each.New, err)
		}
	}
	return map[string]int64{
		"entries":     int64(len(log.Entries)),
		"checkpoints": int64(len(log.Checkpoints)),
		"inclusion":   int64(len(log.Inclusion)),
		"consistency": int64(len(log.Consistency)),
	}, nil
}

// tileFolder reads tiles of height 8 as C2SP tlog-tiles lays them out. The checksum database's own
// paths hold the height as well, and "data" for what is "entries" here.
type tileFolder string

func (folder tileFolder) path(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	return filepath.Join(string(folder), strings.Replace(path, "tile/data/", "tile/entries/", 1))
}

func (folder tileFolder) Height() int { return 8 }

func (folder tileFolder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := os.ReadFile(folder.path(tile))
		if err != nil {
			return nil, err
		}
		found[i] = data
	}
	return found, nil
}

func (folder tileFolder) SaveTiles([]tlog.Tile, [][]byte) {}

// checkTiles checks every tile against the signed root, every entry against its tile, and that
// proofs can be made from the tiles alone.
func checkTiles(path, key string) (map[string]int64, error) {
	message, err := os.ReadFile(filepath.Join(path, "checkpoint"))
	if err != nil {
		return nil, err
	}
	tree, err := openNote(message, key)
	if err != nil {
		return nil, err
	}
	folder := tileFolder(path)
	// Tiles that this reader hands out are authenticated against the tree.
	reader := tlog.TileHashReader(tree, folder)
	for start := int64(0); start < tree.N; start += 256 {
		width := tree.N - start
		if width > 256 {
			width = 256
		}
		bundle := tlog.Tile{H: 8, L: -1, N: start / 256, W: int(width)}
		data, err := os.ReadFile(folder.path(bundle))
		if err != nil {
			return nil, err
		}
		if err := checkEntries(data, start, width, reader); err != nil {
			return nil, fmt.Errorf("%s: %w", folder.path(bundle)[len(path)+1:], err)
		}
	}
	for n := int64(0); n < tree.N; n++ {
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return nil, err
		}
		proof, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return nil, err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, n, leaf[0]); err != nil {
			return nil, err
		}
	}
	return map[string]int64{"size": tree.N}, nil
}

// checkEntries reads a bundle, each entry after its length as big-endian uint16.
func checkEntries(data []byte, start, count int64, reader tlog.HashReader) error {
	for n := start; n < start+count; n++ {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return fmt.Errorf("ends before entry %d", n)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return err
		}
		if tlog.RecordHash(data[2:end]) != leaf[0] {
			return fmt.Errorf("entry %d is not the one in the tree", n)
		}
		data = data[end:]
	}
	if len(data) != 0 {
		return fmt.Errorf("%d bytes left over", len(data))
	}
	return nil
}
