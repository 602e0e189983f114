"""dockerpy.py SOCKET [VERSION [NAME]] - about eighty calls of docker-py against one engine; NAME: one of them.

Prints one JSON object a line: {"name": ..., "result": ...} or {"name": ..., "error":
[class, status, explanation]}. A scenario gets a client and a Cleaner that removes
whatever was registered with it.
"""
import io
import json
import sys
import tarfile
import threading
import time

import docker
from docker.types import Healthcheck, IPAMConfig, IPAMPool, LogConfig, Mount, Ulimit

IMAGE = "tabique/base"
scenarios = []


def scenario(fn):
    scenarios.append(fn)
    return fn


class Things:
    """What a scenario makes, to be removed at its end, newest first."""

    def __init__(self, client):
        self.client = client
        self.made = []

    def create(self, command="sleep 1000", **options):
        container = self.client.containers.create(IMAGE, command, **options)
        self.made.append(lambda: container.remove(force=True, v=True))
        return container

    def run(self, command="sleep 1000", **options):
        container = self.create(command, **options)
        container.start()
        return container

    def network(self, name, **options):
        network = self.client.networks.create(name, **options)
        self.made.append(network.remove)
        return network

    def volume(self, name, **options):
        volume = self.client.volumes.create(name, **options)
        self.made.append(volume.remove)
        return volume

    def clear(self):
        for undo in reversed(self.made):
            try:
                undo()
            except docker.errors.APIError:
                pass


def refusal(fn, *args, **options):
    try:
        fn(*args, **options)
    except docker.errors.APIError as error:
        return [type(error).__name__, error.status_code, error.explanation]
    return "no error"


def until(fn, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = fn()
        if value:
            return value
        time.sleep(0.05)
    return "timed out"


def tar_of(name, text):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        info.mode = 0o640
        archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


def members(stream):
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        return sorted((m.name, oct(m.mode), m.size, m.uid) for m in archive.getmembers())


# --- containers ---------------------------------------------------------------------------

@scenario
def run_gives_output(client, things):
    return client.containers.run(IMAGE, "echo hello", remove=True).decode()


@scenario
def run_fails_with_status(client, things):
    try:
        client.containers.run(IMAGE, ["sh", "-c", "echo why >&2; exit 4"], remove=True)
    except docker.errors.ContainerError as error:
        return [error.exit_status, error.stderr.decode()]


@scenario
def run_unknown_image(client, things):
    return refusal(client.api.create_container, "nosuch/image:tag", "true")


@scenario
def run_unknown_command(client, things):
    return refusal(things.create("no-such-program").start)


@scenario
def states(client, things):
    container = things.create()
    seen = [container.status]
    for step in (container.start, container.pause, container.unpause, lambda: container.stop(timeout=0)):
        step()
        container.reload()
        seen.append(container.status)
    container.restart(timeout=0)
    container.reload()
    return seen + [container.status]


@scenario
def start_twice_stop_twice(client, things):
    container = things.run()
    container.start()
    container.stop(timeout=0)
    container.stop(timeout=0)
    return container.wait()


@scenario
def wait_gives_status(client, things):
    return things.run(["sh", "-c", "exit 7"]).wait()


@scenario
def wait_removed(client, things):
    container = client.containers.run(IMAGE, "true", detach=True, auto_remove=False)
    result = {}
    thread = threading.Thread(target=lambda: result.update(container.wait(condition="removed")))
    thread.start()
    time.sleep(0.3)
    container.remove(force=True)
    thread.join(20)
    return result


@scenario
def kill_and_signals(client, things):
    container = things.run()
    first = refusal(container.kill, "SIGNOSUCH")
    container.kill("SIGKILL")
    container.wait()
    return [first, refusal(container.kill)]


@scenario
def logs(client, things):
    container = things.run(["sh", "-c", "echo a; echo b >&2; sleep 0.3; echo c"])
    container.wait()
    return [container.logs(stdout=True, stderr=False).decode(), container.logs(stdout=False, stderr=True).decode(),
            container.logs(tail=1, stderr=False).decode(), b"".join(container.logs(stream=True, stderr=False)).decode(),
            refusal(container.logs, stdout=False, stderr=False)]


@scenario
def logs_followed(client, things):
    container = things.run(["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"])
    return b"".join(container.logs(stream=True, follow=True)).decode()


@scenario
def attach_stream(client, things):
    container = things.create(["sh", "-c", "echo out"])
    stream = container.attach(stream=True)
    container.start()
    return b"".join(stream).decode()


@scenario
def attach_socket_both_ways(client, things):
    container = things.create("cat", stdin_open=True, tty=True)
    sock = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    sock._sock.sendall(b"hello\n")
    got = b""
    while b"hello\r\nhello" not in got:
        got += sock._sock.recv(100)
    sock.close()
    return got.decode()


@scenario
def exec_run(client, things):
    container = things.run()
    plain = container.exec_run("echo hi")
    both = container.exec_run(["sh", "-c", "echo o; echo e >&2; exit 3"], demux=True)
    stream = container.exec_run("echo s", stream=True)
    env = container.exec_run(["sh", "-c", "echo $A; pwd; id -u"], environment={"A": "1"}, workdir="/tmp", user="1000")
    return [plain.exit_code, plain.output.decode(), both.exit_code, [x.decode() for x in both.output],
            b"".join(stream.output).decode(), env.output.decode()]


@scenario
def exec_many_times_loses_nothing(client, things):
    container = things.run()
    return sum(container.exec_run("echo hi").output == b"hi\n" for _ in range(20))


@scenario
def exec_missing_program(client, things):
    result = things.run().exec_run("no-such-program")
    return [result.exit_code, result.output.decode()]


@scenario
def exec_inspect(client, things):
    container = things.run()
    made = client.api.exec_create(container.id, ["sh", "-c", "exit 3"])
    before = client.api.exec_inspect(made["Id"])
    client.api.exec_start(made["Id"])
    after = client.api.exec_inspect(made["Id"])
    return [before["Running"], before["ExitCode"], after["Running"], after["ExitCode"], after["ProcessConfig"],
            refusal(client.api.exec_start, made["Id"]), refusal(client.api.exec_inspect, "nosuch")]


@scenario
def exec_stopped(client, things):
    return refusal(things.create().exec_run, "true")


@scenario
def archives(client, things):
    container = things.run()
    put = container.put_archive("/tmp", tar_of("f", b"text"))
    stream, stat = container.get_archive("/tmp/f")
    return [put, members(stream), stat["name"], stat["size"], oct(stat["mode"]),
            refusal(container.get_archive, "/no/such"), refusal(container.put_archive, "/no/such", tar_of("f", b"x"))]


@scenario
def archive_of_stopped(client, things):
    container = things.create()
    container.put_archive("/root", tar_of("g", b"stopped"))
    return members(container.get_archive("/root/g")[0])


@scenario
def export(client, things):
    names = [name for name, *_ in members(things.create().export())]
    return [n for n in ("bin/busybox", "etc/passwd", "tmp") if n in names or n + "/" in names]


@scenario
def commit(client, things):
    container = things.run(["sh", "-c", "echo 1 >/new"], labels={"a": "b"})
    container.wait()
    image = container.commit("parity/committed", tag="one", message="why", author="somebody", changes="ENV X=1")
    attrs = image.attrs
    result = [image.tags, attrs["Comment"], attrs["Author"], attrs["Config"]["Env"][-1], attrs["Config"]["Labels"],
              attrs["Container"] == container.id, attrs["ContainerConfig"]["Image"]]
    client.images.remove("parity/committed:one")
    return result


@scenario
def diff(client, things):
    container = things.run(["sh", "-c", "echo 1 >/new; rm /etc/group"])
    container.wait()
    return sorted(container.diff(), key=lambda change: change["Path"])


@scenario
def nothing_changed(client, things):
    return things.create("true").diff()


@scenario
def update(client, things):
    container = things.run(mem_limit="64m")
    result = container.update(mem_limit="96m", memswap_limit="200m", cpu_shares=512, restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
    container.reload()
    host = container.attrs["HostConfig"]
    return [result, host["Memory"], host["MemorySwap"], host["CpuShares"], host["RestartPolicy"]]


@scenario
def stats(client, things):
    first = things.run().stats(stream=False)
    return [sorted(first), sorted(first["cpu_stats"]), first["pids_stats"].get("current"), sorted(first["networks"])]


@scenario
def stats_stream(client, things):
    return sorted(next(things.run().stats(decode=True, stream=True)))


@scenario
def top(client, things):
    container = things.run("sleep 1000")
    # Docker answers a start before the command is executed.
    until(lambda: "sleep 1000" in [row[-1] for row in container.top()["Processes"]])
    found = container.top()
    return [found["Titles"], [row[-1] for row in found["Processes"]], refusal(things.create().top)]


@scenario
def rename(client, things):
    container = things.create(name="py-before")
    container.rename("py-after")
    container.reload()
    return [container.name, refusal(container.rename, "bad name!")]


@scenario
def names_conflict(client, things):
    things.create(name="py-twice")
    return refusal(client.api.create_container, IMAGE, name="py-twice")


@scenario
def ports(client, things):
    container = things.run(ports={"80/tcp": ("127.0.0.1", None), "53/udp": None})
    container.reload()
    return {key: value and [sorted(entry) for entry in value] for key, value in container.ports.items()}


@scenario
def port_taken(client, things):
    things.run(ports={"80/tcp": ("127.0.0.1", 18099)})
    error = refusal(things.create(ports={"80/tcp": ("127.0.0.1", 18099)}).start)
    return [error[0], error[1], "port is already allocated" in error[2]]


@scenario
def links(client, things):
    things.run(name="py-target", environment={"FOO": "1"}, ports={"6379/tcp": None})
    container = things.run(["sh", "-c", "env | grep ^DB_ | sort"], name="py-asker", links={"py-target": "db"})
    container.wait()
    container.reload()
    return [container.logs().decode(), container.attrs["HostConfig"]["Links"]]


@scenario
def link_removed(client, things):
    things.run(name="py-target2")
    container = things.run(name="py-asker2", links={"py-target2": "db"})
    client.api.remove_container("py-asker2/db", link=True)
    container.reload()
    return container.attrs["HostConfig"]["Links"]


@scenario
def volumes_and_binds(client, things):
    things.volume("py-vol")
    container = things.run(["sh", "-c", "echo x >/v/f; touch /ro/f"], volumes={"py-vol": {"bind": "/v", "mode": "rw"}, "/tmp": {"bind": "/ro", "mode": "ro"}})
    result = container.wait()
    container.reload()
    return [result, container.logs().decode(), sorted((m["Type"], m["Destination"], m["RW"], m["Mode"]) for m in container.attrs["Mounts"])]


@scenario
def volumes_from(client, things):
    things.volume("py-from")
    first = things.create(volumes=["py-from:/data"])
    container = things.run("ls -d /data", volumes_from=[first.id])
    container.wait()
    return container.logs().decode()


@scenario
def mounts(client, things):
    container = things.run(["sh", "-c", "mount | grep -c ' /m '"], mounts=[Mount("/m", None, type="tmpfs", tmpfs_size=1 << 20)])
    container.wait()
    return [container.logs().decode(), refusal(client.containers.create, IMAGE, mounts=[Mount("/m", "/no/such", type="bind")])]


@scenario
def healthcheck(client, things):
    container = things.run(healthcheck=Healthcheck(test=["CMD-SHELL", "true"], interval=10 ** 9, retries=2))

    def status():
        container.reload()
        return container.attrs["State"]["Health"]["Status"] == "healthy"
    until(status)
    health = container.attrs["State"]["Health"]
    return [health["Status"], health["FailingStreak"], sorted(health["Log"][0]), health["Log"][0]["ExitCode"]]


@scenario
def healthcheck_refused(client, things):
    return refusal(client.api.create_container, IMAGE, healthcheck={"test": "true", "interval": 1})


@scenario
def limits_and_options(client, things):
    container = things.run("sleep 1000", ulimits=[Ulimit(name="nofile", soft=100, hard=200)], sysctls={"net.ipv4.ip_forward": "0"},
                           init=True, cap_add=["NET_ADMIN"], cap_drop=["MKNOD"], security_opt=["no-new-privileges"], shm_size="8m",
                           extra_hosts={"other": "1.2.3.4"}, dns=["8.8.8.8"], dns_search=["example.org"], group_add=["1001"],
                           oom_score_adj=100, read_only=True, tmpfs={"/t": "size=1m"}, hostname="box", domainname="example.org",
                           log_config=LogConfig(type="json-file", config={"max-size": "1m"}), restart_policy={"Name": "always"},
                           stop_signal="SIGUSR1", labels=["one", "two"], pids_limit=50,
                           mem_limit="64m", mem_swappiness=10, cpu_period=100000, cpu_quota=50000, blkio_weight=500)
    container.reload()
    host, config = container.attrs["HostConfig"], container.attrs["Config"]
    keys = ("Ulimits Sysctls Init CapAdd CapDrop SecurityOpt ShmSize ExtraHosts Dns DnsSearch GroupAdd OomScoreAdj ReadonlyRootfs Tmpfs "
            "LogConfig RestartPolicy PidsLimit Memory MemorySwappiness CpuPeriod CpuQuota BlkioWeight").split()
    inside = container.exec_run(["sh", "-c", "hostname; grep other /etc/hosts; cat /etc/resolv.conf | grep -v '^#'; id -G"]).output.decode()
    container.remove(force=True)
    return [{key: host[key] for key in keys}, {key: config[key] for key in ("Hostname", "Domainname", "Labels", "StopSignal")}, inside]


@scenario
def devices(client, things):
    container = things.run(devices=["/dev/null:/dev/nul2:r"])
    container.reload()
    return [container.attrs["HostConfig"]["Devices"], container.exec_run(["sh", "-c", "ls -l /dev/nul2 | cut -c 1-10"]).output.decode()]


@scenario
def auto_remove(client, things):
    container = client.containers.run(IMAGE, "true", detach=True, auto_remove=True)
    return until(lambda: refusal(container.reload) != "no error" and refusal(container.reload)[:2])


@scenario
def remove_running(client, things):
    return refusal(things.run(name="py-running").remove)


@scenario
def list_and_filters(client, things):
    things.run(name="py-list-a", labels={"py": "1"})
    things.create(name="py-list-b", labels={"py": "2"})
    listed = lambda **options: sorted(c.name for c in client.containers.list(**options))
    return [listed(filters={"label": "py"}), listed(all=True, filters={"label": "py"}), listed(all=True, filters={"label": "py=2"}),
            listed(all=True, filters={"status": "created", "label": "py"}), listed(all=True, filters={"name": "py-list"}),
            listed(all=True, filters={"ancestor": IMAGE, "label": "py"}), len(client.containers.list(all=True, limit=1)),
            refusal(client.containers.list, filters={"nosuch": "1"})]


@scenario
def summary_fields(client, things):
    things.create(name="py-summary")
    return sorted(client.api.containers(all=True, filters={"name": "py-summary"}, size=True)[0])


@scenario
def inspect_fields(client, things):
    attrs = things.run().attrs
    attrs = client.api.inspect_container(attrs["Id"])
    return {key: sorted(value) if isinstance(value, dict) else type(value).__name__ for key, value in attrs.items()}


@scenario
def prune_containers(client, things):
    things.run("true", labels={"py-prune": "1"}).wait()
    found = client.containers.prune(filters={"label": "py-prune"})
    return [len(found["ContainersDeleted"]), sorted(found)]


@scenario
def resize(client, things):
    container = things.run("sleep 1000", tty=True)
    return [container.resize(30, 90), refusal(things.create(tty=True).resize, 30, 90)[:2]]


@scenario
def bad_creates(client, things):
    create = client.api.create_container
    host = client.api.create_host_config
    return [refusal(create, IMAGE, host_config=host(network_mode="nosuch-net")) and "asked",
            refusal(create, IMAGE, host_config=host(mem_limit=1000)),
            refusal(create, IMAGE, host_config=host(cpuset_cpus="99")),
            refusal(create, IMAGE, host_config=host(binds=["relative/path:/x"])),
            refusal(create, IMAGE, host_config=host(binds=["/tmp:relative"])),
            refusal(create, IMAGE, name="bad name"),
            refusal(create, IMAGE, host_config=host(pid_mode="nonsense")),
            refusal(create, IMAGE, host_config=host(restart_policy={"Name": "nonsense"})),
            refusal(create, IMAGE, host_config=host(restart_policy={"Name": "always"}, auto_remove=True)),
            refusal(create, IMAGE, host_config=host(sysctls={"kernel.nonsense": "1"}), command="true"),
            refusal(create, IMAGE, working_dir="relative")]


@scenario
def isolation_default(client, things):
    return things.create(isolation="default").attrs["HostConfig"]["Isolation"]


@scenario
def unknown_container(client, things):
    return [refusal(client.containers.get, "nosuch")] + [refusal(getattr(client.api, call), "nosuch") for call in
            ("start", "stop", "kill", "pause", "unpause", "restart", "remove_container", "logs", "top", "diff", "wait", "inspect_container")]


# --- images -------------------------------------------------------------------------------

@scenario
def image_inspect_fields(client, things):
    attrs = client.images.get(IMAGE).attrs
    return {key: sorted(value) if isinstance(value, dict) else type(value).__name__ for key, value in attrs.items()}


@scenario
def image_list_fields(client, things):
    return sorted(client.api.images(IMAGE)[0])


@scenario
def image_tags(client, things):
    image = client.images.get(IMAGE)
    tagged = image.tag("py/tag", "one")
    image.reload()
    listed = [tag for tag in image.tags if tag.startswith("py/")]
    client.images.remove("py/tag:one")
    return [tagged, listed, refusal(client.images.get, "py/tag:one"), refusal(client.images.remove, "py/tag:one")]


@scenario
def image_history(client, things):
    return [sorted(step) for step in client.images.get(IMAGE).history()]


@scenario
def image_save_load(client, things):
    data = b"".join(client.images.get(IMAGE).save(named=True))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
    return [manifest[0]["RepoTags"], [image.tags and True for image in client.images.load(data)]]


@scenario
def image_bad_load(client, things):
    try:
        return [image.id for image in client.images.load(b"no archive")]
    except (docker.errors.ImageLoadError, docker.errors.APIError) as error:
        return type(error).__name__


@scenario
def image_import(client, things):
    result = client.api.import_image_from_data(tar_of("f", b"x"), repository="py/imported", changes=['CMD ["true"]'])
    client.images.remove("py/imported")
    return sorted(json.loads(result.splitlines()[-1]))


@scenario
def image_prune(client, things):
    return sorted(client.images.prune(filters={"label": "py-none"}))


@scenario
def image_unknown(client, things):
    return [refusal(client.images.get, "nosuch"), refusal(client.images.remove, "nosuch"), refusal(client.api.history, "nosuch"),
            refusal(client.api.tag, "nosuch", "x/y")]


@scenario
def image_build(client, things):
    dockerfile = b"FROM tabique/base\nARG A=1\nENV B=$A\nRUN echo built >/f\nLABEL l=1\nCMD [\"cat\", \"/f\"]\n"
    image, log = client.images.build(fileobj=io.BytesIO(dockerfile), tag="py/built", buildargs={"A": "2"}, rm=True)
    output = client.containers.run("py/built", remove=True).decode()
    env, labels = image.attrs["Config"]["Env"], image.labels
    client.images.remove("py/built")
    return [output, env, labels, [line["stream"] for line in log if line.get("stream", "").startswith("Step")]]


@scenario
def image_build_fails(client, things):
    try:
        client.images.build(fileobj=io.BytesIO(b"FROM tabique/base\nRUN exit 3\n"), rm=True, forcerm=True)
    except docker.errors.BuildError as error:
        return error.msg


# --- networks --------------------------------------------------------------------------------

@scenario
def network_round_trip(client, things):
    network = things.network("py-net", driver="bridge", internal=True, labels={"a": "b"}, options={"com.docker.network.driver.mtu": "1400"},
                             ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.89.0.0/24", gateway="10.89.0.1", iprange="10.89.0.128/25", aux_addresses={"x": "10.89.0.5"})]))
    network.reload()
    attrs = network.attrs
    return {key: attrs[key] for key in ("Name", "Driver", "Scope", "Internal", "Labels", "Options", "IPAM", "EnableIPv6", "Attachable", "Ingress", "Containers")}


@scenario
def network_connects(client, things):
    network = things.network("py-net2", ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.90.0.0/24")]))
    container = things.run(name="py-net2-c")
    network.connect(container, aliases=["al"], ipv4_address="10.90.0.77")
    network.reload()
    container.reload()
    there = container.attrs["NetworkSettings"]["Networks"]["py-net2"]
    names = [c.name for c in network.containers]
    again = refusal(network.connect, container)
    network.disconnect(container)
    return [names, there["IPAddress"], there["Aliases"][0], again, refusal(network.disconnect, container), refusal(network.connect, "nosuch")]


@scenario
def network_names_resolve(client, things):
    things.network("py-net3")
    things.run(name="py-net3-a", network="py-net3")
    other = things.run(["sh", "-c", "ping -c 1 -W 5 py-net3-a >/dev/null && echo found"], network="py-net3")
    other.wait()
    return other.logs().decode()


@scenario
def network_link_alias(client, things):
    things.network("py-net5")
    things.run(name="py-net5-a", network="py-net5")
    other = client.api.create_container(IMAGE, ["sh", "-c", "ping -c 1 -W 5 other >/dev/null && echo found"], networking_config=client.api.create_networking_config(
        {"py-net5": client.api.create_endpoint_config(links={"py-net5-a": "other"})}), host_config=client.api.create_host_config(network_mode="py-net5"))
    things.made.append(lambda: client.api.remove_container(other["Id"], force=True))
    client.api.start(other["Id"])
    client.api.wait(other["Id"])
    return client.api.logs(other["Id"]).decode()


@scenario
def network_errors(client, things):
    network = things.network("py-net4", check_duplicate=True)
    things.run(name="py-net4-c", network="py-net4")
    return [refusal(client.networks.create, "py-net4", check_duplicate=True), refusal(network.remove), refusal(client.networks.get, "nosuch"),
            refusal(client.networks.get("bridge").remove),
            refusal(client.networks.create, "")]


@scenario
def network_lists(client, things):
    things.network("py-list", labels={"py": "1"})
    return [[n.name for n in client.networks.list(names=["py-list"])], [n.name for n in client.networks.list(filters={"label": "py=1"})],
            sorted(n.name for n in client.networks.list(filters={"type": "builtin"})), sorted(client.networks.prune(filters={"label": "py-none"}) or {})]


# --- volumes -----------------------------------------------------------------------------------

@scenario
def volume_round_trip(client, things):
    volume = things.volume("py-volume", labels={"a": "b"}, driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})
    return {key: volume.attrs[key] for key in ("Name", "Driver", "Scope", "Labels", "Options")}


@scenario
def volume_errors(client, things):
    things.volume("py-used")
    things.create(volumes=["py-used:/v"])
    return [refusal(client.volumes.get("py-used").remove), refusal(client.volumes.get, "nosuch"), refusal(client.volumes.create, "bad/name"),
            refusal(client.volumes.create, "x", driver_opts={"nosuch": "1"})]


@scenario
def volume_lists(client, things):
    things.volume("py-listed", labels={"py": "1"})
    return [[v.name for v in client.volumes.list(filters={"label": "py=1"})], [v.name for v in client.volumes.list(filters={"name": "py-listed"})],
            sorted(client.volumes.prune(filters={"label": "py-none"}))]


# --- the engine ----------------------------------------------------------------------------------

@scenario
def engine(client, things):
    info = client.info()
    return [client.ping(), info["OSType"], info["Driver"], info["Swarm"]["LocalNodeState"], sorted(client.version()), sorted(client.df())]


@scenario
def events(client, things):
    since = int(time.time()) - 1
    container = things.run("true", name="py-events")
    container.wait()
    found = client.events(since=since, until=int(time.time()) + 1, decode=True, filters={"container": "py-events"})
    return [[event["Type"], event["Action"], event["status"], event["from"], event["id"] == container.id] for event in found]


@scenario
def not_a_swarm(client, things):
    return [refusal(client.swarm.reload), refusal(client.nodes.list), refusal(client.services.list), refusal(client.secrets.list), refusal(client.configs.list)]


@scenario
def plugins(client, things):
    return [client.plugins.list(), refusal(client.plugins.get, "nosuch")]


def main():
    client = docker.DockerClient(base_url="unix://" + sys.argv[1], timeout=60, version="auto" if len(sys.argv) < 3 else sys.argv[2])
    for fn in scenarios:
        if len(sys.argv) > 3 and fn.__name__.replace("_", " ") != sys.argv[3]:
            continue
        things = Things(client)
        line = {"name": fn.__name__.replace("_", " ")}
        try:
            line["result"] = fn(client, things)
        except docker.errors.APIError as error:
            line["error"] = [type(error).__name__, error.status_code, error.explanation]
        except Exception as error:  # what a client's user would see
            line["error"] = [type(error).__name__, str(error)]
        things.clear()
        print(json.dumps(line, default=str), flush=True)


main()
