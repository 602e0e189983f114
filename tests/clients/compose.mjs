// compose.mjs - projects for docker-compose 1.29. Each is its files and its command
// lines; every project is taken down by its last line.

const base = 'image: tabique/base\n    stop_grace_period: 0s'

export const projects = {
  'up, ps, exec, logs, down': {
    files: { 'docker-compose.yml': `version: "2.4"
services:
  db:
    ${base}
    command: sleep 1000
    healthcheck: {test: "true", interval: 1s}
    volumes: ["data:/data"]
  web:
    ${base}
    command: sh -c 'ping -c 1 -W 5 db >/dev/null && echo found db; ping -c 1 -W 5 store >/dev/null && echo found store; sleep 1000'
    depends_on: {db: {condition: service_healthy}}
    environment: {A: "1"}
    env_file: web.env
    links: ["db:store"]
volumes: {data: {}}
`, 'web.env': 'B=two\n' },
    steps: ['up -d', 'ps -q --filter status=running', { line: 'logs --no-color web', until: 'found store' }, 'exec -T web sh -c "echo $A $B"', 'exec -T db sh -c "echo kept >/data/f"',
      'stop -t 0', 'up -d', 'exec -T db cat /data/f', 'port web 80', 'top nosuch', 'down -v -t 0', 'down -v -t 0'],
  },
  'a dependency that is not well': {
    files: { 'docker-compose.yml': `version: "2.4"
services:
  db:
    ${base}
    command: sleep 1000
    healthcheck: {test: "false", interval: 100ms, retries: 1}
  web:
    ${base}
    command: sleep 1000
    depends_on: {db: {condition: service_healthy}}
` },
    steps: ['up -d', 'ps -q web', 'down -t 0'],
  },
  'isolation': {
    files: { 'docker-compose.yml': `version: "2.4"\nservices:\n  one:\n    ${base}\n    isolation: default\n    command: sleep 1000\n` },
    steps: ['up -d', 'ps -q --filter status=nosuch', 'down -t 0',
      { line: 'up --no-start', files: { 'docker-compose.yml': `version: "2.4"\nservices:\n  one:\n    ${base}\n    isolation: hyperv\n    command: sleep 1000\n` } },
      'down -t 0'],
  },
  'build, pause, kill, rm': {
    files: { 'docker-compose.yml': `version: "2.4"\nservices:\n  made:\n    build: {context: ., args: {A: "1"}}\n    image: parity/made\n    stop_grace_period: 0s\n    restart: on-failure\n    labels: {a: b}\n    ulimits: {nofile: 100}\n    tmpfs: /t\n    cap_drop: [ALL]\n    hostname: box\n    extra_hosts: ["far:10.0.0.9"]\n`,
      'Dockerfile': 'FROM tabique/base\nARG A\nRUN echo "built $A" >/f\nCMD ["sleep", "1000"]\n' },
    steps: [{ line: 'build --no-cache', sorted: false }, 'build -q', 'up -d', 'exec -T made sh -c "cat /f; ulimit -n; hostname; grep far /etc/hosts; grep CapEff /proc/self/status; df /t | tail -1 | cut -d \' \' -f 1"',
      'images -q', 'pause', 'exec -T made true', 'unpause', 'kill', 'ps -q --filter status=stopped', 'start', 'restart -t 0', 'rm -f', 'stop -t 0', 'rm -f', 'up -d nosuch', 'down -t 0 --rmi all'],
  },
  'scale and one-off runs': {
    files: { 'docker-compose.yml': `version: "2.4"\nservices:\n  one:\n    ${base}\n    command: sleep 1000\n` },
    steps: ['up -d --scale one=3', 'exec -T --index=3 one echo third', 'up -d --scale one=1', 'run --rm one echo once', 'run --rm one sh -c "exit 7"', 'down -t 0'],
  },
  'recreated on change': {
    files: { 'docker-compose.yml': `version: "2.4"\nservices:\n  one:\n    ${base}\n    command: sh -c "echo first; sleep 1000"\n    volumes: ["/data"]\n` },
    steps: ['up -d', 'exec -T one sh -c "echo kept >/data/f"', 'up -d',
      { line: 'up -d', files: { 'docker-compose.yml': `version: "2.4"\nservices:\n  one:\n    ${base}\n    command: sh -c "echo second; sleep 1000"\n    volumes: ["/data"]\n` } },
      'exec -T one cat /data/f', { line: 'logs --no-color one', until: 'second' }, 'up -d --force-recreate', 'exec -T one cat /data/f', 'down -v -t 0'],
  },
  'networks with aliases and addresses': {
    files: { 'docker-compose.yml': `version: "2.4"
services:
  a:
    ${base}
    command: sleep 1000
    networks: {front: {aliases: [other]}, back: {ipv4_address: 10.91.0.9}}
  b:
    ${base}
    command: sh -c 'ping -c 1 -W 5 other >/dev/null && echo found other'
    networks: [front]
    depends_on: [a]
  c:
    ${base}
    command: sh -c 'ping -c 1 -W 5 10.91.0.9 >/dev/null && echo found by address'
    networks: [back]
    depends_on: [a]
networks:
  front: {}
  back: {ipam: {config: [{subnet: 10.91.0.0/24}]}}
` },
    steps: ['up -d', { line: 'logs --no-color b', until: 'found other' }, { line: 'logs --no-color c', until: 'found by address' }, 'down -t 0'],
  },
  'exit codes and failing dependencies': {
    files: { 'docker-compose.yml': `version: "2.4"\nservices:\n  job:\n    ${base}\n    command: sh -c "exit 5"\n    restart: "no"\n` },
    steps: ['up --exit-code-from job', 'down -t 0', 'up -d nosuch', 'exec job true'],
  },
}
