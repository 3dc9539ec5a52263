# Elixir: Registry and GenServer. The protocol is that of protocol.py.

defmodule Server do
  use GenServer

  def start(name), do: GenServer.start(__MODULE__, nil, name: {:via, Registry, {Names, name}})

  @impl true
  def init(behind), do: {:ok, behind}

  @impl true
  def handle_call(:get, _from, behind), do: {:reply, 0, behind}
  def handle_call(:pass_on, _from, behind), do: {:reply, GenServer.call(behind, :get), behind}

  def handle_call(:suspend, _from, behind) do
    :erlang.yield()
    {:reply, 0, behind}
  end

  @impl true
  def handle_cast(_request, behind), do: {:noreply, behind}
end

defmodule Measures do
  @names 1_000
  @clients 100

  def main(arguments) do
    say("version", ~s("#{System.version()}"))
    {:ok, _} = Registry.start_link(keys: :unique, name: Names)
    names = for number <- 1..@names, do: "service:shard:#{number}"
    Enum.each(names, &Server.start/1)
    {:ok, last} = GenServer.start(Server, nil)
    {:ok, server} = GenServer.start(Server, last)

    for argument <- arguments, [name, count] <- [String.split(argument, "=")] do
      answer(name, String.to_integer(count), server, List.to_tuple(names))
    end
  end

  defp answer(name, count, server, names) do
    if name != "memory", do: measure(name, max(div(count, 10), @clients), server, names)
    say(name, measure(name, count, server, names))
  end

  defp say(name, value), do: IO.puts(~s({"measure": "#{name}", "value": #{value}}))

  defp measure("look-up", count, _server, names) do
    chosen = for _ <- 1..count, do: elem(names, :rand.uniform(@names) - 1)
    timed(count, fn -> Enum.each(chosen, &Registry.lookup(Names, &1)) end)
  end

  defp measure("call", count, server, _names),
    do: one_by_one(count, fn -> GenServer.call(server, :get) end)

  defp measure("100 clients", count, server, _names) do
    each = div(count, @clients)
    client = fn -> times(each, fn -> GenServer.call(server, :get) end) end

    timed(each * @clients, fn ->
      tasks = for _ <- 1..@clients, do: Task.async(client)
      Task.await_many(tasks, :infinity)
    end)
  end

  defp measure("chain", count, server, _names),
    do: one_by_one(count, fn -> GenServer.call(server, :pass_on) end)

  defp measure("suspends", count, server, _names),
    do: one_by_one(count, fn -> GenServer.call(server, :suspend) end)

  defp measure("cast", count, server, _names) do
    timed(count, fn ->
      times(count, fn -> GenServer.cast(server, :put) end)
      GenServer.call(server, :get, :infinity)
    end)
  end

  defp measure("start + stop", count, _server, _names) do
    one_by_one(count, fn ->
      {:ok, server} = GenServer.start(Server, nil)
      GenServer.stop(server)
    end)
  end

  defp measure("memory", count, _server, _names) do
    before = resident()
    Enum.each(1..count, fn number -> {:ok, _} = Server.start("idle:#{number}") end)
    (resident() - before) / count
  end

  defp one_by_one(count, work), do: timed(count, fn -> times(count, work) end)

  defp timed(count, work) do
    started = System.monotonic_time(:nanosecond)
    work.()
    (System.monotonic_time(:nanosecond) - started) / count / 1.0e9
  end

  defp times(0, _work), do: :ok

  defp times(count, work) do
    work.()
    times(count - 1, work)
  end

  defp resident do
    status = File.read!("/proc/#{System.pid()}/status")
    [_, kilobytes] = Regex.run(~r/VmRSS:\s+(\d+)/, status)
    String.to_integer(kilobytes) * 1024
  end
end

Measures.main(System.argv())
