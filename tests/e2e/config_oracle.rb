# Prints the HOCON files given as JSON, one line each, or `error: …`, as ruby-hocon reads them.
require "hocon"
require "hocon/config_factory"
require "json"

ARGV.each do |path|
  begin
    config = Hocon::ConfigFactory.parse_file(path).resolve
    puts JSON.generate(config.root.unwrapped)
  rescue StandardError, SystemStackError => error
    puts "error: " + error.message.lines.first.to_s.strip
  end
end
