# Shell words for docs/cloudcasa.md: `api METHOD PATH [BODY]` asks the REST API of `holdfast up`, `get FIELD` picks a field of the
# reply, `ended JOB` waits for the end of a job and says how it ended.
api() {
  curl -sS --fail-with-body --cacert ~/.holdfast/pki/ca.crt -X "$1" \
    -H "Authorization: Bearer $(cat ~/.holdfast/cloudcasa.key)" -H 'Content-Type: application/json' \
    ${3:+--data "$3"} "$(cat ~/.holdfast/cloudcasa.url)/$2"
}

get() {
  python3 -c 'import json, sys; from functools import reduce
found = reduce(lambda at, key: at[int(key) if isinstance(at, list) else key], sys.argv[1].split("."), json.load(sys.stdin))
print(found)' "$1"
}

ended() {
  for _ in $(seq 600); do
    case "$(api GET "jobs/$1" | get state)" in
      COMPLETED | PARTIAL | SKIPPED | FAILED | CANCELLED) break ;;
    esac
    sleep 0.2
  done
  api GET "jobs/$1" | get state
}
