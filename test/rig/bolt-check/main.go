// Judges bbolt databases by bbolt itself. For each file: checks it, adds and deletes keys and buckets,
// checks again, and tells what it saw as JSON on one line.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"

	bolt "go.etcd.io/bbolt"
)

const mutations = 5000

type report struct {
	File    string   `json:"file"`
	Before  []string `json:"before"`
	After   []string `json:"after"`
	Buckets int      `json:"buckets"`
	Keys    int      `json:"keys"`
	Kept    int      `json:"kept"`
}

func check(db *bolt.DB) []string {
	found := []string{}
	err := db.View(func(tx *bolt.Tx) error {
		for problem := range tx.Check() {
			found = append(found, problem.Error())
		}
		return nil
	})
	if err != nil {
		found = append(found, err.Error())
	}
	return found
}

// The path of every bucket, and how many keys there are that are none.
func walk(bucket *bolt.Bucket, path [][]byte, visit func([][]byte), keys *int) {
	visit(path)
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		if value != nil {
			*keys++
			continue
		}
		below := append(append([][]byte{}, path...), append([]byte{}, key...))
		walk(bucket.Bucket(key), below, visit, keys)
	}
}

func count(db *bolt.DB) (paths [][][]byte, keys int) {
	must(db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			top := [][]byte{append([]byte{}, name...)}
			walk(bucket, top, func(path [][]byte) { paths = append(paths, path) }, &keys)
			return nil
		})
	}))
	return paths, keys
}

func at(tx *bolt.Tx, path [][]byte) *bolt.Bucket {
	bucket := tx.Bucket(path[0])
	for _, name := range path[1:] {
		bucket = bucket.Bucket(name)
	}
	return bucket
}

func mutate(db *bolt.DB, paths [][][]byte) {
	random := rand.New(rand.NewSource(1))
	type place struct {
		path [][]byte
		key  []byte
	}
	var added []place
	step := func(tx *bolt.Tx, n int) error {
		path := paths[random.Intn(len(paths))]
		key := []byte(fmt.Sprintf("\x00mutation-%d", n))
		bucket := at(tx, path)
		if _, err := bucket.NextSequence(); err != nil {
			return err
		}
		if n%50 == 0 {
			inner, err := bucket.CreateBucket(append(key, "-bucket"...))
			if err != nil {
				return err
			}
			return inner.Put(key, make([]byte, random.Intn(3000)))
		}
		added = append(added, place{path, key})
		return bucket.Put(key, make([]byte, random.Intn(300)))
	}
	for n := 0; n < mutations; n += 500 {
		must(db.Update(func(tx *bolt.Tx) error {
			for i := n; i < n+500; i++ {
				if err := step(tx, i); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	must(db.Update(func(tx *bolt.Tx) error {
		for _, one := range added {
			if err := at(tx, one.path).Delete(one.key); err != nil {
				return err
			}
		}
		for n := 0; n < mutations; n += 50 {
			key := []byte(fmt.Sprintf("\x00mutation-%d-bucket", n))
			for _, path := range paths {
				if bucket := at(tx, path); bucket.Bucket(key) != nil {
					if err := bucket.DeleteBucket(key); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	for _, file := range os.Args[1:] {
		db, err := bolt.Open(file, 0o600, &bolt.Options{NoSync: true})
		must(err)
		said := report{File: file, Before: check(db)}
		paths, keys := count(db)
		said.Buckets, said.Keys = len(paths), keys
		if len(paths) > 0 {
			mutate(db, paths)
		}
		said.After = check(db)
		_, said.Kept = count(db)
		must(db.Close())
		must(json.NewEncoder(os.Stdout).Encode(said))
	}
}
